"""Supervised fine-tuning from plan to artifact, on the tiny model in this process."""

import json
import shutil

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file, save_file
from tiny_models import metrics_of
from transformers import AutoModelForCausalLM

from ftsdk.artifact import Artifact
from ftsdk.errors import DataError, SpecError
from ftsdk.job_types import Reason
from ftsdk.workers.event_writer import read_events
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.train.common.checkpoint import SEAL, newest_sealed

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]

KINDS = {
    "qlora-nf4": {},
    "qlora-fp4-single": {"compute": {"quantization": "fp4", "double_quantization": False}},
    "lora-int8": {"compute": {"quantization": "int8"}},
    "lora": {"compute": {"quantization": None}},
    "lora-bf16": {"compute": {"quantization": None, "dtype": "bfloat16"}},
    "dora": {"adapter": {"use_dora": True}, "compute": {"quantization": None}},
    "rslora": {"adapter": {"use_rslora": True, "r": 4}},
    "full": {"adapter": None, "compute": {"quantization": None}, "training": {"learning_rate": 1e-3}},
    "full-bf16": {"adapter": None, "compute": {"quantization": None, "dtype": "bfloat16"}},
    "packing": {"training": {"packing": True, "max_length": 128, "global_batch_size": 2}},
    "checkpointing": {"compute": {"gradient_checkpointing": True}},
    "neftune": {"training": {"neftune_noise_alpha": 5.0}},
    "adamw-8bit": {"training": {"optim": "adamw_8bit"}},
    "adafactor": {"training": {"optim": "adafactor"}},
    "pissa": {"adapter": {"init": "pissa"}, "compute": {"quantization": None, "dtype": "float32"}},
    "olora": {"adapter": {"init": "olora"}, "compute": {"quantization": None, "dtype": "float32"}},
    "gaussian": {"adapter": {"init": "gaussian"}},
    "sdpa": {"compute": {"attention": "sdpa"}},
    "eager": {"compute": {"attention": "eager"}},
    "micro-batch": {"compute": {"per_device_train_batch_size": 2}},
}


def weights(folder):
    """All tensors of an artifact."""
    [path] = (folder.artifact).glob("*.safetensors")
    return load_file(path)


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_every_kind_learns(make_spec, train, changes):
    """Each way of training runs for real: the loss falls, and the artifact verifies."""
    spec = make_spec(**{**changes, "training": {"max_steps": 8, **changes.get("training", {})}})

    folder = train(spec)

    losses = metrics_of(folder, "loss")
    assert losses[-1] < losses[0]
    assert Artifact.open(folder.artifact).kind == ("model" if spec.adapter is None else "adapter")


def test_adapter_loads_in_plain_peft(make_spec, train):
    """What was trained is what PEFT loads: every tensor of the adapter, bit for bit."""
    folder = train(make_spec())

    model = AutoPeftModelForCausalLM.from_pretrained(folder.artifact)

    loaded = {name.replace(".default", ""): value for name, value in model.state_dict().items() if "lora_" in name}
    saved = weights(folder)
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


def test_model_loads_in_plain_transformers(make_spec, train, tiny_model):
    """A full fine-tune is a model of its own, in the precision of its base, and differs from it."""
    folder = train(make_spec(adapter=None, compute={"quantization": None}))

    model = AutoModelForCausalLM.from_pretrained(folder.artifact)

    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert model.dtype == base.dtype
    assert not torch.equal(model.get_input_embeddings().weight, base.get_input_embeddings().weight)


def test_artifact_has_every_file_beside_the_weights(make_spec, train):
    """Tokenizer, template, card, metrics, curve and manifest stand beside the weights."""
    folder = train(make_spec())

    names = {path.name for path in folder.artifact.iterdir()}

    assert names >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
        "metrics.jsonl",
        "loss.png",
        "ftsdk.json",
    }


def test_same_seed_same_run(make_spec, train):
    """The same seed gives the same losses and the same adapter, dropout and noise included."""
    spec = make_spec(adapter={"dropout": 0.2}, training={"neftune_noise_alpha": 5.0})

    first, second = train(spec, "one"), train(spec, "other")

    assert metrics_of(first, "loss") == metrics_of(second, "loss")
    assert all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(second).values(), strict=True))


def test_another_seed_another_run(make_spec, train):
    """The seed decides the order of rows."""
    first, second = train(make_spec(), "one"), train(make_spec(training={"seed": 7}), "other")

    assert metrics_of(first, "loss") != metrics_of(second, "loss")


@pytest.mark.parametrize("changes", [{}, {"adapter": None, "compute": {"quantization": None}}], ids=["qlora", "full"])
def test_resumed_run_equals_uninterrupted(make_spec, train, changes):
    """Stopped and resumed, with dropout and momentum, the last loss and every weight are bit for bit the same."""
    spec = make_spec(**{"adapter": {"dropout": 0.1}, **changes, "training": {"max_steps": 8, "logging_steps": 3}})
    uninterrupted = train(spec, "whole")

    train(spec, "parted", stop_after=3)
    resumed = train(spec, "parted")

    assert metrics_of(resumed, "loss")[-1] == metrics_of(uninterrupted, "loss")[-1]
    assert all(
        torch.equal(a, b) for a, b in zip(weights(resumed).values(), weights(uninterrupted).values(), strict=True)
    )


def test_resume_passes_over_damage(make_spec, train):
    """A checkpoint with one wrong byte is not resumed from: the one before it is, and the end is the same."""
    spec = make_spec(training={"max_steps": 8})
    uninterrupted = train(spec, "whole")

    folder = train(spec, "damaged", stop_after=5)
    newest, _ = newest_sealed(folder.checkpoints)
    path = newest / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    shutil.copytree(newest, newest.with_name("checkpoint-7"))
    (newest.with_name("checkpoint-7") / SEAL).unlink()
    resumed = train(spec, "damaged")

    assert metrics_of(resumed, "loss")[-1] == metrics_of(uninterrupted, "loss")[-1]


@pytest.mark.numeric
def test_micro_batch_changes_nothing(make_spec, train):
    """However a step is cut, the loss is that of the whole step."""
    uninterrupted = train(make_spec(training={"max_steps": 2}), "whole")
    split = train(make_spec(training={"max_steps": 2}, compute={"per_device_train_batch_size": 1}), "cut")

    assert metrics_of(split, "loss") == pytest.approx(metrics_of(uninterrupted, "loss"), rel=1e-5)


@pytest.mark.numeric
def test_held_out_rows(make_spec, train):
    """Held-out loss is reported before and after, falls, and stands in the manifest."""
    folder = train(make_spec(val_size=8, training={"max_steps": 8}))

    before, after = metrics_of(folder, "eval_loss")[0], metrics_of(folder, "eval_loss")[-1]

    metrics = Artifact.open(folder.artifact).manifest.metrics
    assert after < before
    assert (metrics["eval_loss_before"], metrics["eval_loss"]) == (before, after)


def test_early_stopping_keeps_the_best(make_spec, train):
    """A run that gets worse is stopped, and the artifact is its best evaluation."""
    spec = make_spec(
        val_size=8,
        adapter={"alpha": 400},
        training={"max_steps": 30, "learning_rate": 0.3, "eval_steps": 1, "early_stopping_patience": 2},
    )

    folder = train(spec)

    held_out = metrics_of(folder, "eval_loss")
    assert len(held_out) < 30
    assert held_out[-1] == pytest.approx(min(held_out), rel=1e-6)


def test_truncation_gives_a_warning(make_spec, train):
    """Rows that were cut are counted in a warning, with the length that would keep them."""
    folder = train(make_spec(training={"max_length": 24}))

    [warning] = [event.message for event in read_events(folder.events) if event.kind == "warning"]

    assert "rows were cut at 24 tokens" in warning


def test_divergence_ends_the_run(make_spec, train):
    """A loss that is no number ends the job with the reason, instead of training on."""
    spec = make_spec(
        compute={"quantization": None},
        training={"learning_rate": 1.0, "optim": "sgd", "max_grad_norm": 0, "max_steps": 60},
    )
    spec = spec.model_copy(update={"adapter": spec.adapter.model_copy(update={"alpha": 1e30})})

    with pytest.raises(WorkerError) as caught:
        train(spec)

    assert caught.value.reason is Reason.DIVERGED


def test_unknown_target_modules(make_spec, train):
    """Layers that the model does not have are refused by the field, with the next step."""
    with pytest.raises(SpecError, match=r"adapter\.target_modules"):
        train(make_spec(adapter={"target_modules": ["nope_proj"]}))


def test_edited_rows_are_refused(make_spec, train, chat_file, monkeypatch):
    """A dataset that changed between plan and start is not what was submitted."""
    from ftsdk_local.train import run as module

    def edited(plan):
        chat_file.write_text(chat_file.read_text() + "\n")
        return check(plan)

    check = module.check_unchanged
    monkeypatch.setattr(module, "check_unchanged", edited)

    with pytest.raises(DataError, match="no longer the same"):
        train(make_spec())


def test_tensorboard(make_spec, train):
    """A tracker that was asked for gets the run."""
    folder = train(make_spec(report_to=["tensorboard"]))

    assert list(folder.path.rglob("events.out.tfevents.*"))


def test_real_rows(make_spec, train, shared_data):
    """Real Alpaca rows, a JSON array, train as they are."""
    folder = train(make_spec(dataset={"path": str(shared_data / "alpaca_en_demo.json"), "max_samples": 64}))

    lines = [json.loads(line) for line in (folder.artifact / "metrics.jsonl").read_text().splitlines()]

    assert [line["step"] for line in lines] == [1, 2, 3, 4]


def test_weights_that_are_not_there_are_not_made_up(make_spec, train, tiny_model, tmp_path):
    """A weight that the files lack would begin by chance; the job fails, and names it."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(WorkerError, match=r"lack model\.norm\.weight"):
        train(make_spec(model=str(model)))
