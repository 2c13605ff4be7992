"""PPO end to end: it learns what is rewarded, stays close to the reference, and resumes to the bit."""

import json

import pytest
import torch
import toy_task
from peft import PeftModel
from safetensors.torch import load_file
from tiny_models import metrics_of, tiny
from transformers import AutoModelForCausalLM

from ftsdk.artifact import verify
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.train.ppo.update import PolicyUpdater

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]


@pytest.fixture
def toy(tmp_path, make_spec):
    """PPO on the toy task, with changes to its sections."""
    model, prompts = toy_task.make_task(tmp_path, prompts=64)

    def spec(*, method=None, training=None, compute=None, **changes):
        return make_spec(
            model=str(model),
            dataset=str(prompts),
            method={
                "type": "ppo",
                "reward": "toy_task:good_words",
                "kl_coef": 0.02,
                "max_new_tokens": 12,
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
            **changes,
        )

    return spec


def weights_of(folder):
    return load_file(folder.artifact / "adapter_model.safetensors")


@pytest.mark.numeric
def test_it_learns_what_is_rewarded(toy, train):
    """The reward rises by far more than its noise, while the KL stays near its target."""
    folder = train(toy(method={"target_kl": 2.0}, training={"max_steps": 16, "global_batch_size": 32}))

    reward, kl = torch.tensor(metrics_of(folder, "reward")), metrics_of(folder, "kl")
    before, after = reward[:4], reward[-4:]
    # of two means of four steps, each of 32 * 12 words of which 0.13 are rewarded by chance; the four themselves are
    # too few to estimate it from
    noise = (2 / 4 * 0.13 * 0.87 / (32 * 12)) ** 0.5
    assert after.mean() - before.mean() > 5 * noise
    assert max(kl) < 2 * 2.0


def test_where_nothing_is_rewarded_nothing_moves(toy, train):
    """With every reward 0 the policy stays exactly where it was."""
    folder = train(toy(method={"reward": "toy_task:nothing"}))

    assert all(tensor.abs().max() == 0 for name, tensor in weights_of(folder).items() if "lora_B" in name)


@pytest.mark.numeric
def test_a_large_coefficient_keeps_it_at_the_reference(toy, train):
    """The same run with a coefficient a thousand times as large goes less than half as far from the reference."""
    free, tight = (
        train(toy(method={"kl_coef": coef}, training={"max_steps": 20}), name)
        for coef, name in ((0.02, "free"), (20.0, "held"))
    )

    apart = [sum(metrics_of(folder, "kl")[-6:]) for folder in (tight, free)]  # estimates, whose signs cancel noise
    assert abs(apart[0]) < 0.5 * apart[1]


def test_the_first_ratio_is_exactly_1(toy, train):
    """Sampling and learning see the same probabilities: before the first step nothing is clipped, and KL is 0."""
    folder = train(toy(method={"num_ppo_epochs": 1}, training={"max_steps": 1}))

    assert [metrics_of(folder, name) for name in ("ratio", "clip_fraction", "approx_kl", "kl")] == [
        [1.0],
        [0.0],
        [0.0],
        [0.0],
    ]


def test_the_coefficient_follows_its_target(toy, train):
    """Below the target the coefficient falls, by at most 2 % a step."""
    folder = train(toy(method={"target_kl": 1000.0}))

    assert metrics_of(folder, "kl_coef") == pytest.approx([0.02, 0.02 * 0.98, 0.02 * 0.98**2])


@pytest.mark.parametrize("method", [{}, {"target_kl": 1.0, "kl_estimator": "k3", "whiten_rewards": True}])
def test_a_stopped_run_resumes_to_the_bit(toy, train, method):
    """Stopped after two updates and resumed, the metrics and the adapter are those of a run in one piece."""
    spec = toy(method={**method, "num_mini_batches": 2}, training={"max_steps": 4, "global_batch_size": 8}, val_size=8)
    uninterrupted, resumed = train(spec, "whole"), train(spec, "parts", stop_after=1)
    assert not resumed.artifact.exists()

    train(spec, "parts")

    for name in ("loss", "reward", "kl", "entropy", "kl_coef", "eval_reward", "grad_norm", "value_loss"):
        assert metrics_of(resumed, name) == metrics_of(uninterrupted, name)
    assert all(torch.equal(tensor, weights_of(resumed)[name]) for name, tensor in weights_of(uninterrupted).items())
    assert resumed.samples.read_text() == uninterrupted.samples.read_text()


KINDS = {
    "8-bit Adam on nf4": {"training": {"optim": "adamw_8bit"}, "compute": {"quantization": "nf4"}},
    "Adafactor on int8": {"training": {"optim": "adafactor"}, "compute": {"quantization": "int8"}},
    "checkpointing": {"compute": {"gradient_checkpointing": True}},
    "DoRA in bfloat16": {"adapter": {"use_dora": True}, "compute": {"dtype": "bfloat16"}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_resumes(toy, train, kind):
    """Whatever holds the base and steps the weights, a resumed run is the run in one piece."""
    sections = KINDS[kind]
    small = {"max_steps": 2, "global_batch_size": 4, "save_steps": 1, **sections.get("training", {})}
    spec = toy(**{**sections, "training": small})
    uninterrupted, resumed = train(spec, "whole"), train(spec, "parts", stop_after=0)

    train(spec, "parts")

    assert metrics_of(uninterrupted, "grad_norm")[-1] > 0
    assert all(torch.equal(tensor, weights_of(resumed)[name]) for name, tensor in weights_of(uninterrupted).items())


def test_an_architecture_with_a_forward_pass_of_its_own(toy, train, tmp_path):
    """A model that caps its attention and its logits is sampled and trained by its own forward pass."""
    spec = toy(training={"max_steps": 1, "global_batch_size": 4})
    capped = tiny("Gemma2", vocab_size=toy_task.WORDS, final_logit_softcapping=5.0, attn_logit_softcapping=5.0)
    capped.save_pretrained(tmp_path / "model")

    folder = train(spec)

    assert [metrics_of(folder, name)[0] for name in ("ratio", "kl")] == [pytest.approx(1, abs=0.1), 0.0]


def test_minibatches_and_epochs_are_optimizer_steps(toy, train, monkeypatch):
    """Two minibatches in three epochs are six steps of the optimizer in each update."""
    counted = []
    step = PolicyUpdater._step
    monkeypatch.setattr(
        PolicyUpdater, "_step", lambda self, batch, rows: counted.append(len(rows)) or step(self, batch, rows)
    )

    train(toy(method={"num_ppo_epochs": 3, "num_mini_batches": 2}, training={"max_steps": 1}))

    assert counted == [16] * 6


@pytest.mark.numeric
def test_micro_batches_change_nothing(toy, train):
    """Computed a row at a time, an update is the same but for rounding."""
    uninterrupted = train(toy(), "whole")
    single = train(toy(compute={"per_device_train_batch_size": 1}), "single")

    for name in ("loss", "reward", "kl", "entropy"):
        assert metrics_of(single, name) == pytest.approx(metrics_of(uninterrupted, name), rel=1e-3, abs=1e-5)


def test_the_artifact_is_the_policy_alone(toy, train):
    """One adapter that loads in plain PEFT, sealed; value and reference stay behind."""
    folder = train(toy())
    base = AutoModelForCausalLM.from_pretrained(
        json.loads(folder.artifact.joinpath("ftsdk.json").read_text())["base_model"]
    )

    PeftModel.from_pretrained(base, str(folder.artifact))

    assert verify(folder.artifact).method == "ppo"
    assert not [name for name in weights_of(folder) if "value" in name]
    assert not [path for path in folder.artifact.iterdir() if path.is_dir()]


def test_the_card_has_the_reward(toy, train):
    """PPO is assessed by its reward; its loss means nothing to a reader."""
    card = (train(toy(training={"max_steps": 1}, val_size=2)).artifact / "README.md").read_text()

    assert ("held-out reward after" in card, "training loss" in card) == (True, False)


def test_samples_are_kept_of_each_evaluation(toy, train):
    """Held-out prompts are answered before, between and after, with the reward beside each answer."""
    folder = train(toy(training={"eval_steps": 2, "max_steps": 4}, val_size=3))

    lines = [json.loads(line) for line in (folder.artifact / "samples.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 0, 0, 2, 2, 2, 4, 4, 4]
    assert {"prompt", "completion", "reward"} < lines[0].keys()


@pytest.mark.numeric
def test_a_penalty_for_no_end(tmp_path, toy, train):
    """A response that does not end by itself has the penalty taken off its score."""
    toy_task.make_task(tmp_path, prompts=64, end=True)
    folder = train(toy(method={"missing_eos_penalty": 3.0}, training={"max_steps": 1}))

    (reward,), (score,), (stopped,) = (metrics_of(folder, name) for name in ("reward", "score", "ended"))
    assert 0 < stopped < 1
    assert score == pytest.approx(reward - 3.0 * (1 - stopped), abs=1e-5)


def test_a_torn_sample_is_dropped(toy, train):
    """A kill in the middle of a line costs that line, which comes again, and not the job."""
    spec = toy(training={"eval_steps": 1}, val_size=2)
    uninterrupted, resumed = train(spec, "whole"), train(spec, "parts", stop_after=0)
    with resumed.samples.open("a") as file:
        file.write('{"step": 2, "pro')

    train(spec, "parts")

    assert resumed.samples.read_text() == uninterrupted.samples.read_text()


def test_a_reward_that_breaks_leaves_a_checkpoint(toy, train, monkeypatch):
    """The message names the place; the updates before are kept, and the resumed run is the whole one."""
    spec = toy()
    uninterrupted = train(spec, "whole")
    good, calls = toy_task.good_words, []

    def breaks(prompts, completions, **columns):
        calls.append(1)
        return [float("nan")] * len(prompts) if len(calls) == 3 else good(prompts, completions, **columns)

    monkeypatch.setattr(toy_task, "good_words", breaks)
    with pytest.raises(WorkerError, match=r"returned nan for the prompt at .*prompts\.jsonl:"):
        train(spec, "broken")
    monkeypatch.setattr(toy_task, "good_words", good)

    resumed = train(spec, "broken")

    assert all(torch.equal(tensor, weights_of(uninterrupted)[name]) for name, tensor in weights_of(resumed).items())
