"""One spec, one seed, the same rows: whatever engine trains, the settings that take effect are the same."""

import json
from typing import NamedTuple

import pytest
from repository_backends import TOKEN_ENGINES
from safetensors import safe_open

import ftsdk
from ftsdk.registry import load_backend

pytestmark = pytest.mark.foreign_engine

ENGINES = tuple(TOKEN_ENGINES)
ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"What is {n}, and what comes after it?"},
            {"role": "assistant", "content": f"Arr, {n} it be!" * (1 + n % 3)},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": "Ye count on, matey."},
        ]
    }
    for n in range(44)
]


class Effect(NamedTuple):
    """What a training was, by its own records."""

    learning_rates: list[float]
    tokens: list[float]
    labels: list[float]
    trainable: int


@pytest.fixture(scope="module")
def effect_on(tiny_model, tmp_path_factory):
    """Trains on a backend, and reads its records."""
    folder = tmp_path_factory.mktemp("parity")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def train(backend):
        spec = ftsdk.JobSpec(
            model=str(tiny_model),
            dataset=str(rows),
            adapter=ftsdk.LoRA(r=4, alpha=8),
            training=ftsdk.Training(
                num_train_epochs=2,
                global_batch_size=8,
                max_length=96,
                learning_rate=1e-3,
                lr_scheduler_type="linear",
                warmup_steps=3,
                seed=7,
                logging_steps=1,
            ),
            backend=backend,
        )
        job = ftsdk.submit(spec)
        job.wait(timeout=400)
        return effect_of(ftsdk.fetch(job, folder / backend))

    return train


def effect_of(artifact):
    lines = [json.loads(line) for line in (artifact.path / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    with safe_open(artifact.path / "adapter_model.safetensors", "pt") as weights:
        trainable = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118 - no dictionary
    return Effect(
        learning_rates=[step["learning_rate"] for step in steps],
        tokens=[step["tokens_per_step"] for step in steps],
        labels=[step["labels_per_step"] for step in steps],
        trainable=trainable,
    )


@pytest.fixture(scope="module")
def local(effect_on):
    """What the local engine does."""
    return effect_on("local")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_trains_the_same(engine, local, effect_on):
    """Learning rate, tokens and labels of each step, and the weights that learn; the last step of an epoch is short."""
    load_backend(engine).install(print)
    trained = effect_on(engine)

    assert pytest.approx(local.learning_rates, rel=1e-6) == trained.learning_rates
    assert local[1:] == trained[1:]
