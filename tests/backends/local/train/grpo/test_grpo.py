"""GRPO through TRL: our prompts, our rewards, TRL's loss, and the durability of every other method."""

import json

import pytest
import torch
import toy_task
from peft import PeftModel
from safetensors.torch import load_file
from tiny_models import metrics_of
from transformers import AutoModelForCausalLM

from ftsdk.job_types import Reason
from ftsdk.modeling.memory import MicroBatch
from ftsdk.workers.hardware import device
from ftsdk.workers.outcome import WorkerError
from ftsdk_local import translate
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.batch_sizing import BatchSizing
from ftsdk_local.train.grpo.train import prompt_order, rows_at_a_time

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]


@pytest.fixture
def toy(tmp_path, make_spec):
    """GRPO on the toy task, with changes to its sections."""
    model, prompts = toy_task.make_task(tmp_path, prompts=64, end=True)

    def spec(*, method=None, training=None, compute=None, **changes):
        return make_spec(
            dataset=str(prompts),
            method={
                "type": "grpo",
                "reward": "toy_task:good_words",
                "max_new_tokens": 12,
                "num_generations": 4,
                **(method or {}),
            },
            training={
                "max_steps": 3,
                "global_batch_size": 16,
                "learning_rate": 1e-3,
                "lr_scheduler_type": "constant",
                "warmup_ratio": 0,
                "max_length": 32,
                **(training or {}),
            },
            compute={"quantization": None, **(compute or {})},
            **{"model": str(model), **changes},
        )

    return spec


def weights_of(folder):
    return load_file(folder.artifact / "adapter_model.safetensors")


@pytest.mark.numeric
def test_it_learns_what_is_rewarded(toy, train):
    """The reward rises by far more than its noise."""
    folder = train(toy(training={"max_steps": 24, "global_batch_size": 32, "learning_rate": 3e-3}))

    reward = torch.tensor(metrics_of(folder, "reward"))
    before, after = reward[:6], reward[-6:]
    # of two means of six steps, each of 32 * 12 words of which 0.13 are rewarded by chance; the six themselves are too
    # few to estimate it from
    noise = (2 / 6 * 0.13 * 0.87 / (32 * 12)) ** 0.5
    assert after.mean() - before.mean() > 5 * noise


def test_where_nothing_is_rewarded_nothing_moves(toy, train):
    """With every reward 0 there is no advantage, and the policy stays exactly where it was."""
    folder = train(toy(method={"reward": "toy_task:nothing"}))

    assert all(tensor.abs().max() == 0 for name, tensor in weights_of(folder).items() if "lora_B" in name)


@pytest.mark.parametrize("method", [{}, {"beta": 0.1}])
def test_a_stopped_run_resumes_to_the_bit(toy, train, method):
    """Stopped after a step and resumed, the metrics, the samples and the adapter are those of a run in one piece."""
    spec = toy(method=method, val_size=4, training={"eval_steps": 2, "max_steps": 4})
    uninterrupted, resumed = train(spec, "whole"), train(spec, "parts", stop_after=0)
    assert not resumed.artifact.exists()

    train(spec, "parts")

    for name in ("loss", "reward", "eval_reward", "grad_norm"):
        assert metrics_of(resumed, name) == metrics_of(uninterrupted, name)
    assert all(torch.equal(tensor, weights_of(resumed)[name]) for name, tensor in weights_of(uninterrupted).items())
    assert resumed.samples.read_text() == uninterrupted.samples.read_text()


def test_epochs_do_not_begin_again(toy, train, tmp_path):
    """Ten prompts in steps of four: a run stopped in its second pass continues it, and none is left out."""
    toy_task.make_task(tmp_path, prompts=10, end=True)
    spec = toy(training={"max_steps": 5})
    uninterrupted, resumed = train(spec, "whole"), train(spec, "parts", stop_after=3)

    train(spec, "parts")

    assert metrics_of(resumed, "reward") == metrics_of(uninterrupted, "reward")


@pytest.mark.parametrize(("changes", "steps"), [({"max_steps": 7}, 7), ({"max_steps": -1, "num_train_epochs": 2}, 5)])
def test_every_prompt_is_asked_before_one_is_asked_again(toy, changes, steps):
    """All prompts in a new order each time, and as many steps as the epochs take."""
    native = translate.plan(toy(), device("cpu")).native
    settings = Settings.model_validate({**native, "arguments": {**native["arguments"], **changes}})

    order = prompt_order(settings, 10)

    assert (4 * steps, list(range(10)), False) == (len(order), sorted(order[:10]), order[:10] == order[10:20])


def test_memory_that_runs_out_is_reported(toy, train, monkeypatch):
    """The error names how many responses did not fit, and what to set."""

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("trl.GRPOTrainer.compute_loss", full)
    with pytest.raises(WorkerError, match="16 responses at a time") as caught:
        train(toy())

    assert (Reason.OOM, True) == (caught.value.reason, "per_device_train_batch_size=8" in caught.value.hint)


def test_an_adapter_to_continue_from_is_the_reference(toy, train):
    """Continued from an adapter, the reference is that adapter: the first KL is exactly 0."""
    first = train(toy(training={"learning_rate": 1e-2}), "first")

    folder = train(toy(method={"beta": 0.1}, model=str(first.artifact)), "second")

    assert metrics_of(folder, "kl")[0] == 0.0
    assert not [path for path in folder.artifact.iterdir() if path.is_dir()]


def test_the_artifact_loads_in_plain_peft(toy, train):
    """One adapter on its base."""
    folder = train(toy(training={"max_steps": 1}))
    manifest = json.loads((folder.artifact / "ftsdk.json").read_text())

    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(manifest["base_model"]), str(folder.artifact))

    assert manifest["method"] == "grpo"


def test_a_full_fine_tune(toy, train):
    """Every weight can learn; the reference is then a model of its own."""
    folder = train(toy(method={"beta": 0.1}, adapter=None, training={"max_steps": 2, "learning_rate": 1e-3}))

    assert metrics_of(folder, "kl")[0] == 0.0
    assert (folder.artifact / "model.safetensors").is_file()


def test_a_reward_that_breaks_is_reported_with_its_place(toy, train):
    """The message names the function and the row."""
    with pytest.raises(WorkerError, match=r"returned nan for the prompt at .*prompts\.jsonl:"):
        train(toy(method={"reward": "toy_rewards:gives_nan"}))


@pytest.mark.parametrize(
    ("tokens", "rows", "expected"), [(64, None, 2), (1024, None, 12), (160, None, 4), (1, None, 1)]
)
def test_rows_divide_the_step(tokens, rows, expected):
    """As many responses at a time as fit, of which a step of twelve is a multiple."""
    sizing = BatchSizing(MicroBatch(tokens, rows), gradient_checkpointing=False)

    assert rows_at_a_time(sizing, 12, 32) == expected
