"""DPO, KTO and ORPO from plan to artifact, on the tiny model in this process."""

import json

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from preference_rows import pairs, turn, unpaired
from safetensors.torch import load_file
from tiny_models import metrics_of
from transformers import PreTrainedModel

from ftsdk.artifact import Artifact
from ftsdk.errors import DataError, SpecError
from ftsdk.files import sha256
from ftsdk.job_types import Reason
from ftsdk.workers.event_writer import read_events
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.train.preference.trainers import PreferenceTrainer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]

METHODS = ("dpo", "kto", "orpo")
COMPARING = ("dpo", "kto")
KINDS = {
    "qlora-nf4": {"compute": {"quantization": "nf4"}},
    "lora-int8": {"compute": {"quantization": "int8"}},
    "lora-bf16": {"compute": {"dtype": "bfloat16"}},
    "full": {"adapter": None},
    "full-bf16": {"adapter": None, "compute": {"dtype": "bfloat16"}},
    "dora": {"adapter": {"use_dora": True}},
    "pissa": {"adapter": {"init": "pissa"}},
    "checkpointing": {"compute": {"gradient_checkpointing": True}},
    "eager": {"compute": {"attention": "eager"}},
}
RUNS = [("dpo", kind) for kind in KINDS] + [
    (method, kind) for method in ("kto", "orpo") for kind in ("qlora-nf4", "full")
]


@pytest.fixture
def tuned(make_spec, train):
    """The artifact of a short supervised run, to continue from."""
    return train(make_spec(compute={"quantization": None, "dtype": "float32"}), "tuned").artifact


def weights(folder, name="*.safetensors"):
    [path] = folder.glob(name)
    return load_file(path)


def messages_of(folder, kind):
    return [event.message for event in read_events(folder.events) if event.kind == kind]


def essence(folder):
    """What must not depend on interruptions: all metrics but the speed, step by step, and the weights."""
    rows = [json.loads(line) for line in (folder.artifact / "metrics.jsonl").read_text().splitlines()]
    figures = [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]
    [path] = folder.artifact.glob("*.safetensors")
    return figures, sha256(path)


@pytest.mark.numeric
@pytest.mark.parametrize("method", METHODS)
def test_learns_what_is_preferred(preference_spec, train, method):
    """On held-out rows the loss falls, and the better answers move away from the worse ones."""
    folder = train(preference_spec(method, val_size=10, training={"max_steps": 8}))

    losses, margins = (metrics_of(folder, name) for name in ("eval_loss", "eval_rewards/margins"))

    assert (losses[-1] < losses[0], margins[-1] > margins[0]) == (True, True)


@pytest.mark.parametrize(("method", "kind"), RUNS)
def test_every_kind_begins_at_its_reference_and_learns(preference_spec, train, method, kind):
    """Each way of training runs for real: rewards are 0 at first, DoRA's but for rounding; the loss falls."""
    spec = preference_spec(method, val_size=8, **KINDS[kind], training={"max_steps": 6})

    folder = train(spec)

    before = [metrics_of(folder, f"eval_rewards/{side}")[0] for side in ("chosen", "rejected")]
    after = metrics_of(folder, "eval_loss")
    assert method == "orpo" or before == pytest.approx([0, 0], abs=1e-4 if kind == "dora" else 0)
    assert after[-1] < after[0]
    assert ("model" if spec.adapter is None else "adapter") == Artifact.open(folder.artifact).kind


@pytest.mark.parametrize("method", COMPARING)
def test_bases_in_memory(preference_spec, train, monkeypatch, method):
    """An adapter is compared with its own base, switched off: one base is loaded. A full fine-tune needs two."""
    loads = []
    load = PreTrainedModel.from_pretrained.__func__
    counted = classmethod(lambda cls, *arguments, **options: loads.append(1) or load(cls, *arguments, **options))
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", counted)

    with_adapter = train(preference_spec(method, training={"max_steps": 1}), "adapter") and len(loads)
    train(preference_spec(method, adapter=None, training={"max_steps": 1}), "whole")

    assert (1, 2) == (with_adapter, len(loads) - with_adapter)


@pytest.mark.parametrize("method", COMPARING)
def test_continues_from_an_adapter_with_it_as_reference(preference_spec, train, tuned, method):
    """The adapter to continue from is the reference: frozen, without dropout, in checkpoints, not in the artifact."""
    adapter = {"dropout": 0.3}
    folder = train(preference_spec(method, model=str(tuned), adapter=adapter, val_size=8))

    began, reference = weights(tuned), weights(folder.checkpoints / "checkpoint-4" / "ref")
    assert metrics_of(folder, "eval_rewards/chosen")[0] == 0
    assert all(torch.equal(began[name], reference[name]) for name in began)
    assert not all(torch.equal(began[name], tensor) for name, tensor in weights(folder.artifact).items())
    assert [path for path in folder.artifact.iterdir() if path.is_dir()] == []


def test_adapter_loads_in_plain_peft(preference_spec, train):
    """What was trained is what PEFT loads: every tensor of the adapter, bit for bit."""
    folder = train(preference_spec("dpo"))

    model = AutoPeftModelForCausalLM.from_pretrained(folder.artifact)

    loaded = {name.replace(".default", ""): value for name, value in model.state_dict().items() if "lora_" in name}
    saved = weights(folder.artifact)
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


RESUMED = {
    "dpo-dropout": ("dpo", {"adapter": {"dropout": 0.1}}),
    "dpo-qlora": ("dpo", {"compute": {"quantization": "nf4"}}),
    "kto-dropout": ("kto", {"adapter": {"dropout": 0.1}}),
    "kto-full": ("kto", {"adapter": None}),
    "orpo-dropout": ("orpo", {"adapter": {"dropout": 0.1}}),
}


@pytest.mark.parametrize(("method", "changes"), RESUMED.values(), ids=RESUMED)
def test_resumed_run_equals_uninterrupted(preference_spec, train, method, changes):
    """Stopped and resumed, all metrics and every weight are bit for bit those of a run in one piece."""
    spec = preference_spec(method, val_size=8, **changes, training={"max_steps": 6, "eval_steps": 3})
    uninterrupted = train(spec, "whole")

    train(spec, "parted", stop_after=3)
    resumed = train(spec, "parted")

    assert essence(uninterrupted) == essence(resumed)


def test_resumed_from_an_adapter_equals_uninterrupted(preference_spec, train, tuned):
    """The frozen reference comes through an interruption, too."""
    spec = preference_spec("dpo", model=str(tuned), adapter={"dropout": 0.2}, val_size=8)
    uninterrupted = train(spec, "whole")

    train(spec, "parted", stop_after=1)
    resumed = train(spec, "parted")

    assert essence(uninterrupted) == essence(resumed)


@pytest.mark.numeric
@pytest.mark.parametrize("method", METHODS)
def test_the_cut_changes_nothing(preference_spec, train, method):
    """However a step is cut, KL and token means are those of the whole step, also where an epoch ends with fewer."""
    changes = {"val_size": 5, "training": {"max_steps": 3, "global_batch_size": 12}}
    uninterrupted = train(preference_spec(method, **changes), "whole")
    split = train(preference_spec(method, **changes, compute={"per_device_train_batch_size": 5}), "cut")

    for name in ("loss", "eval_loss", "grad_norm"):
        assert metrics_of(split, name) == pytest.approx(metrics_of(uninterrupted, name), rel=1e-4)


@pytest.mark.numeric
def test_half_as_much_until_it_fits(preference_spec, train, monkeypatch):
    """Out of memory, a step is computed again with half as much at a time, and the losses stay as they are."""
    plenty = train(preference_spec("dpo"), "plenty")
    compute = PreferenceTrainer._prepare_inputs

    def limited(self, batch):
        if batch["input_ids"].numel() > 300:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return compute(self, batch)

    monkeypatch.setattr(PreferenceTrainer, "_prepare_inputs", limited)
    scarce = train(preference_spec("dpo"), "scarce")

    assert metrics_of(scarce, "loss") == pytest.approx(metrics_of(plenty, "loss"), rel=1e-5)
    assert "out of memory with 2048 tokens" in messages_of(scarce, "warning")[0]


def test_a_pair_that_does_not_fit_ends_the_job(preference_spec, train, monkeypatch):
    """With nothing left to halve, the failure names the pair and what helps."""

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(PreferenceTrainer, "_prepare_inputs", full)
    with pytest.raises(WorkerError, match=r"a single pair of rows of \d+ tokens does not fit") as caught:
        train(preference_spec("dpo"))

    assert Reason.OOM is caught.value.reason


def test_early_stopping_keeps_the_best(preference_spec, train):
    """A run that gets worse is stopped, and the artifact is its best evaluation; the reference is not mixed up."""
    training = {"max_steps": 30, "learning_rate": 0.3, "eval_steps": 1, "early_stopping_patience": 2}
    folder = train(preference_spec("dpo", val_size=8, adapter={"alpha": 400}, training=training))

    held_out = metrics_of(folder, "eval_loss")
    assert len(held_out) < 30
    assert held_out[-1] == pytest.approx(min(held_out), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_row_with_nothing_left_is_refused(preference_spec, train, method):
    """A prompt that fills the length leaves no answer to learn from: the row is named by file and line."""
    rows = unpaired() if method == "kto" else pairs()
    rows[3]["prompt"] = turn("user", "What? " * 60)

    with pytest.raises(DataError, match=rf"{method}\.jsonl:4.*nothing is left to learn"):
        train(preference_spec(method, rows, training={"max_length": 48}))


@pytest.mark.parametrize("method", METHODS)
def test_truncation_gives_a_warning(preference_spec, train, method):
    """Rows that were cut are counted in a warning, with the length that would keep them."""
    folder = train(preference_spec(method, training={"max_length": 28}))

    assert [text for text in messages_of(folder, "warning") if "were cut at 28 tokens" in text]


def test_imbalance_gives_a_warning(preference_spec, train):
    """Where good rows outweigh bad ones there is a warning that names the weights to change."""
    folder = train(preference_spec("kto", unpaired()[:12] + unpaired()[12::2]))

    assert ["method.desirable_weight" in text for text in messages_of(folder, "warning")] == [True]


@pytest.mark.parametrize("method", COMPARING)
def test_an_adapter_on_the_head_is_refused(preference_spec, train, method):
    """TRL would leave it untrained; the field is named."""
    with pytest.raises(SpecError, match=r"adapter\.target_modules"):
        train(preference_spec(method, adapter={"target_modules": ["lm_head"]}))


def test_trl_keeps_quiet(preference_spec, train, monkeypatch, capsys):
    """Nothing is sent, no bar is drawn, no card is written, and no warning is left over."""
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("huggingface_hub.utils._telemetry._start_telemetry_thread", lambda: pytest.fail("sent"))

    folder = train(preference_spec("dpo"))

    printed = capsys.readouterr()
    assert [word for word in ("Map", "Tokenizing", "{'loss'") if word in printed.out + printed.err] == []
    assert (messages_of(folder, "warning"), (folder.checkpoints / "README.md").exists()) == ([], False)


def short_dpo(row):
    return {**row, "conversations": [{"from": "human", "value": row["conversations"][-1]["value"][-30:]}]}


def short_kto(row):
    question, answer = row["messages"][-2:]
    return {**row, "messages": [{**question, "content": question["content"][-30:]}, answer]}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "short"), [("dpo", short_dpo), ("kto", short_kto)])
def test_real_rows(preference_spec, train, shared_data, method, short):
    """On 300 real rows with short questions, the loss falls on those held out, and better answers move away."""
    rows = json.loads((shared_data / f"{method}_en_demo.json").read_text("utf-8"))
    training = {"max_steps": 30, "global_batch_size": 16, "learning_rate": 3e-4, "max_length": 112}

    folder = train(preference_spec(method, [short(row) for row in rows], val_size=0.2, training=training))

    losses, margins = (metrics_of(folder, name) for name in ("eval_loss", "eval_rewards/margins"))
    assert (300, True, True) == (len(rows), losses[-1] < losses[0], margins[-1] > 0.01)
