"""The real Axolotl trains the tiny model on the CPU, in its own environment, on ftsdk's tokens and labels."""

import json
from operator import mul

import pytest
import torch
from engine_jobs import PAIRS, UNPAIRED, engine_folder_of, finished, metrics, resumed_beside_a_torn_checkpoint
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import ftsdk
from ftsdk.data.row_labels import IGNORED, encode_pair, encode_row
from ftsdk.errors import JobFailed
from ftsdk.job_types import JobState, Reason
from ftsdk_axolotl import translate

pytestmark = [
    pytest.mark.foreign_engine,
    pytest.mark.usefixtures("axolotl_python"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft reads it by the old name
]

CHAT = [
    {
        "messages": [
            {"role": "user", "content": f"What is {n}?"},
            {"role": "assistant", "content": "Arr!" * (n % 5 + 1)},
            {"role": "user", "content": "And now?"},
            {"role": "assistant", "content": "Arr matey!"},
        ]
    }
    for n in range(48)
]


def test_chats_as_every_engine_sees_them(axolotl_spec, tiny_model, tmp_path):
    """In one pass, the model trains on the tokens and labels of the local engine; plain PEFT loads the adapter.

    The loss of a step is the mean over all its tokens, however it was cut into batches.
    """
    training = {"num_train_epochs": 1, "global_batch_size": len(CHAT), "max_length": 128}
    held_out = str(tmp_path / "rows.jsonl")
    artifact = finished(axolotl_spec(CHAT, eval_dataset=held_out, adapter={"r": 4}, training=training), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    encoded = [encode_row(row, tokenizer, "assistant") for row in CHAT]
    label_counts = [sum(label != IGNORED for label in labels[1:]) for _, labels in encoded]
    with torch.no_grad():
        losses = [base(torch.tensor([ids]), labels=torch.tensor([labels])).loss.item() for ids, labels in encoded]
    PeftModel.from_pretrained(base, artifact.path)

    assert sum(len(ids) for ids, _ in encoded) == sum(metrics(artifact, "tokens_per_step"))
    assert sum(label_counts) == sum(metrics(artifact, "labels_per_step"))
    assert [pytest.approx(sum(map(mul, losses, label_counts)) / sum(label_counts), rel=1e-4)] == metrics(
        artifact, "loss"
    )
    assert metrics(artifact, "eval_loss")
    assert "0.19.0" == artifact.manifest.versions["axolotl"]


def test_the_curve_of_the_local_engine(axolotl_spec, tmp_path):
    """The same spec and seed give the local engine's losses, gradients and learning rates, step by step."""
    rows = [{"prompt": f"What is {n}?" * (n % 4 + 1), "completion": "Arr! " * (n % 7 + 1)} for n in range(45)]
    training = {"num_train_epochs": 1, "global_batch_size": 8, "max_length": 128}
    spec = axolotl_spec(rows, training=training)
    local = finished(spec.model_copy(update={"backend": "local"}), tmp_path / "local")
    axolotl = finished(spec, tmp_path / "axolotl")

    for name in ("loss", "grad_norm", "learning_rate", "tokens_per_step", "labels_per_step"):
        assert metrics(local, name) == pytest.approx(metrics(axolotl, name), rel=1e-3)


def test_pairs_as_every_engine_sees_them(axolotl_spec, tiny_model, tmp_path):
    """DPO starts at a loss of log 2, on the local engine's tokens; nothing but the adapter is in the artifact."""
    training = {"num_train_epochs": 1, "global_batch_size": 8, "max_length": 128}
    artifact = finished(axolotl_spec(PAIRS, method="dpo", training=training, adapter={"dropout": 0.1}), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)

    assert sum(len(ids) for pair in PAIRS for ids, _ in encode_pair(pair, tokenizer)) == sum(
        metrics(artifact, "tokens_per_step")
    )
    assert pytest.approx(0.6931, abs=1e-3) == metrics(artifact, "loss")[0]
    assert {"adapter_model.safetensors"} == {path.name for path in artifact.path.glob("*.safetensors")}
    assert not (artifact.path / "config.json").exists()


def test_a_4_bit_base_is_the_same_after_an_evaluation(axolotl_spec, tmp_path):
    """Each evaluation finds it better: bitsandbytes, on a CPU, does not leave its weights packed."""
    training = {"max_steps": 6, "global_batch_size": 8, "max_length": 128, "eval_steps": 2, "learning_rate": 2e-3}
    artifact = finished(axolotl_spec(val_size=8, training=training, compute={"quantization": "nf4"}), tmp_path)
    losses = metrics(artifact, "eval_loss")

    assert 3 == len(losses)
    assert sorted(losses, reverse=True) == losses


@pytest.mark.parametrize(
    ("rows", "changes"),
    [
        (PAIRS, {"method": "orpo", "adapter": {"use_dora": True, "use_rslora": True}, "val_size": 4}),
        (UNPAIRED, {"method": "kto", "val_size": 4}),
    ],
    ids=["orpo, dora and rslora", "kto"],
)
def test_other_trainings(axolotl_spec, tmp_path, rows, changes):
    """ORPO, DoRA, rsLoRA and KTO: each leaves an adapter, a loss for each step, and one for the rows held out."""
    artifact = finished(axolotl_spec(rows, **changes), tmp_path)

    assert "adapter" == artifact.kind
    assert metrics(artifact, "eval_loss")
    assert 6 == len(metrics(artifact, "loss"))


def test_a_whole_model_as_its_base_came(axolotl_spec, tiny_model, tmp_path):
    """A whole model has the precision and the settings of its base, for all that it was trained in float32."""
    artifact = finished(axolotl_spec(adapter=None), tmp_path)
    base, saved = (json.loads((folder / "config.json").read_text()) for folder in (tiny_model, artifact.path))
    generation = [(folder / "generation_config.json").read_text() for folder in (tiny_model, artifact.path)]

    assert "model" == artifact.kind
    assert [base[name] for name in ("dtype", "use_cache")] == [saved[name] for name in ("dtype", "use_cache")]
    assert generation[0] == generation[1]


@pytest.mark.parametrize("adapter", [{"r": 4}, None], ids=["adapter", "whole model"])
def test_a_reward_model_rewards(axolotl_spec, tmp_path, adapter):
    """A reward model prefers the better answer, and scores what the local backend's PPO samples."""
    changes = {"method": "reward_modeling", "adapter": adapter}
    training = {"max_steps": 6, "global_batch_size": 8, "max_length": 128, "learning_rate": 1e-3}
    artifact = finished(axolotl_spec(PAIRS, **changes, training=training), tmp_path)
    prompts = [{"prompt": row["prompt"]} for row in PAIRS[:4]]
    ppo = {
        "method": {"type": "ppo", "reward": str(artifact.path), "max_new_tokens": 8},
        "training": {"max_steps": 1, "global_batch_size": 4, "max_length": 64},
        "backend": "local",
    }
    status = ftsdk.submit(axolotl_spec(prompts, **ppo)).wait(timeout=300)

    assert pytest.approx(0.6931, abs=1e-3) == metrics(artifact, "loss")[0]
    assert 1.0 == metrics(artifact, "accuracy")[-1]
    assert JobState.SUCCEEDED == status.state


def test_early_stopping_keeps_the_best(axolotl_spec, ftsdk_home, tmp_path):
    """After as many evaluations without a better held-out loss as in the spec, the best weights are the artifact."""
    training = {
        "max_steps": 60,
        "global_batch_size": 8,
        "max_length": 128,
        "learning_rate": 1e-9,
        "eval_steps": 2,
        "early_stopping_patience": 2,
    }
    artifact = finished(axolotl_spec(val_size=8, training=training), tmp_path)
    losses = metrics(artifact, "eval_loss")
    best = losses.index(min(losses))
    best_weights = engine_folder_of(ftsdk_home) / "out" / f"checkpoint-{2 * (best + 1)}" / "adapter_model.safetensors"

    assert 2 == len(losses) - 1 - best
    assert best_weights.read_bytes() == (artifact.path / best_weights.name).read_bytes()


def failure(spec):
    with pytest.raises(JobFailed) as caught:
        ftsdk.submit(spec).wait(timeout=300)
    return caught.value


def test_rows_that_teach_nothing(axolotl_spec):
    """A prompt that fills the length is a data error with its row."""
    rows = [{"prompt": "Why? " * 200, "completion": "Arr"}] * 8
    error = failure(axolotl_spec(rows))

    assert (Reason.DATA_ERROR.value, True) == (error.reason, "rows 1: no token carries loss" in error.message)


def test_memory_that_runs_out(axolotl_spec, axolotl_python, tmp_path):
    """A row too long for the machine is reported as out of memory, with what helps."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -v 6000000\nexec {axolotl_python} "$@"\n')
    python.chmod(0o755)
    spec = axolotl_spec(
        [{"prompt": "Why? ", "completion": "Arr me hearty! " * 6000}],
        training={"max_steps": 2, "global_batch_size": 1, "max_length": 16384},
        compute={"attention": "eager"},
        backend_options={"axolotl": {"python": str(python)}},
    )

    assert Reason.OOM.value == failure(spec).reason


def test_settings_that_it_would_take_otherwise(axolotl_spec, monkeypatch):
    """A key that Axolotl does not know fails the job before anything is trained, by its name."""
    monkeypatch.setitem(translate.DIRECT_FIELDS, "training.max_grad_norm", "max_grad_nrom")
    error = failure(axolotl_spec())

    assert "max_grad_nrom is ignored" in error.message


def test_resume_continues_from_a_complete_checkpoint(axolotl_spec, ftsdk_home):
    """Cancelled, a job saves its step; resumed, it continues from there, and a torn checkpoint is removed."""
    training = {"max_steps": 120, "global_batch_size": 8, "max_length": 128, "save_steps": 10, "save_total_limit": 5}
    job = resumed_beside_a_torn_checkpoint(axolotl_spec(training=training), ftsdk_home, step=25)

    assert (JobState.SUCCEEDED, 120) == (job.status.state, job.status.step)
    assert list(range(1, 121)) == job.steps
    assert "is incomplete, and is removed" in job.log
