"""The local translation: what each spec becomes, kept as files that a reviewer reads."""

import json

import pytest
from golden_files import golden

from ftsdk import JobSpec
from ftsdk.errors import UnsupportedSpec
from ftsdk.workers.hardware import Machine
from ftsdk_local import translate

CPU = Machine("cpu", "CPU", 16 * 2**30, visible="")
CARD = Machine("cuda-0", "a card", 24 * 2**30, visible="0")

BASE = {"model": "org/model", "dataset": "/data/rows.jsonl"}
SPECS = {
    "defaults": {},
    "qlora": {
        "adapter": {"r": 8, "alpha": 32, "dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
        "compute": {"quantization": "nf4", "memory_limit": "24GiB", "per_device_train_batch_size": 2},
        "val_size": 0.1,
    },
    "fp4-single-dora": {
        "adapter": {"use_dora": True, "init": "gaussian"},
        "compute": {"quantization": "fp4", "double_quantization": False},
    },
    "int8-rslora": {"adapter": {"use_rslora": True}, "compute": {"quantization": "int8", "dtype": "bfloat16"}},
    "full": {
        "adapter": None,
        "training": {"optim": "paged_adamw_8bit", "max_steps": 100, "warmup_steps": 10, "weight_decay": 0.1},
    },
    "quantization-aware": {"training": {"quantization_aware": "int8-dynamic-int4-weight"}},
    "packed-early-stopping": {
        "method": {"type": "sft", "train_on": "completion"},
        "eval_dataset": "/data/held_out.jsonl",
        "training": {
            "packing": True,
            "max_length": 4096,
            "eval_steps": 50,
            "early_stopping_patience": 3,
            "neftune_noise_alpha": 5,
            "lr_scheduler_type": "constant_with_warmup",
        },
        "report_to": ["tensorboard"],
    },
    "pinned-and-pushed": {
        "model_revision": "abc123",
        "trust_remote_code": True,
        "push_to_hub": True,
        "hub_model_id": "me/tuned",
        "name": "my run",
        "compute": {"attention": "sdpa", "gradient_checkpointing": True, "timeout": "12h"},
    },
    "dpo": {"method": {"type": "dpo", "beta": 0.3, "label_smoothing": 0.1}, "compute": {"quantization": "nf4"}},
    "dpo-ipo": {"method": {"type": "dpo", "loss_type": "ipo"}, "adapter": None},
    "kto": {"method": {"type": "kto", "desirable_weight": 1.2}, "val_size": 0.1},
    "orpo": {"method": {"type": "orpo", "beta": 0.2}, "training": {"eval_steps": 50}, "val_size": 100},
    "grpo": {
        "method": {"type": "grpo", "reward": "org/reward", "num_generations": 4, "beta": 0.04},
        "training": {"global_batch_size": 32},
    },
    "ppo": {
        "method": {"type": "ppo", "reward": "org/reward", "kl_estimator": "k3", "target_kl": 6.0},
        "compute": {"quantization": "nf4"},
    },
    "reward_modeling": {
        "method": {"type": "reward_modeling", "center_rewards_coefficient": 0.01},
        "compute": {"quantization": "nf4"},
        "val_size": 0.1,
    },
}


@pytest.mark.parametrize("name", SPECS)
def test_native_request(name):
    """A spec becomes exactly the settings in its golden file; UPDATE_GOLDEN=1 writes them anew."""
    native = json.dumps(translate.plan(JobSpec(**BASE, **SPECS[name]), CPU).native, indent=2) + "\n"

    assert golden(f"backends/local/golden/{name}.json", native) == native


REFUSED = {
    "adapter": {"method": {"type": "ppo", "reward": "json:dumps"}, "adapter": None},
    "method.max_new_tokens": {"method": {"type": "ppo", "reward": "json:dumps", "max_new_tokens": 1024}},
    "method.reward": {"method": {"type": "ppo", "reward": "no_such_module:score"}},
    "training.global_batch_size": {"method": {"type": "grpo", "reward": "json:dumps", "num_generations": 5}},
    "method.label_smoothing": {"method": {"type": "dpo", "loss_type": "hinge", "label_smoothing": 0.1}},
    "training.packing": {"method": {"type": "dpo"}, "training": {"packing": True}},
    "training.early_stopping_patience": {
        "method": {"type": "grpo", "reward": "json:dumps"},
        "val_size": 0.1,
        "training": {"early_stopping_patience": 2},
    },
    "training.quantization_aware": {
        "training": {"quantization_aware": "int8"},
        "compute": {"quantization": "nf4"},
    },
    "adapter.init": {"adapter": {"init": "pissa"}, "compute": {"quantization": "nf4"}},
    "dataset.format": {"dataset": {"path": "/data/rows.jsonl", "format": "preference"}},
    "compute.dtype": {"compute": {"dtype": "float16"}},
    "compute.attention": {"compute": {"attention": "flash_attention_2"}},
    "model": {"model": "./no/such/folder"},
    "dataset.path": {"dataset": "file:///etc/passwd"},
    "dataset.chat_template": {"dataset": {"path": "/data/rows.jsonl", "chat_template": "/no/such.jinja"}},
}


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_sampling_goes_without_dropout(method):
    """Methods that learn from their own responses learn from the model as it is."""
    with pytest.raises(UnsupportedSpec, match=r"adapter\.dropout"):
        translate.plan(JobSpec(**BASE, method={"type": method, "reward": "json:dumps"}, adapter={"dropout": 0.1}), CPU)


def test_kto_needs_more_than_a_single_row():
    """KTO compares the answers of a step with each other: a step of one row is refused."""
    with pytest.raises(UnsupportedSpec, match=r"training\.global_batch_size"):
        translate.plan(JobSpec(**BASE, method="kto", training={"global_batch_size": 1}), CPU)


@pytest.mark.parametrize(("field", "changes"), REFUSED.items(), ids=REFUSED)
def test_refused(field, changes):
    """What the engine cannot do here is refused by its field, with the reason."""
    with pytest.raises(UnsupportedSpec) as caught:
        translate.plan(JobSpec(**{**BASE, **changes}), CPU)

    assert field in [problem.where for problem in caught.value.problems]


def test_a_file_is_no_model(tmp_path):
    """A file given as the model is refused, and not looked for on the Hub."""
    (tmp_path / "rows.jsonl").touch()

    with pytest.raises(UnsupportedSpec, match="is a file"):
        translate.plan(JobSpec(**{**BASE, "model": str(tmp_path / "rows.jsonl")}), CPU)


def test_all_refusals_come_at_once():
    """One error names every field, so that users fix them in one go."""
    spec = JobSpec(**BASE, method="dpo", training={"quantization_aware": "int8"}, compute={"dtype": "float16"})

    with pytest.raises(UnsupportedSpec) as caught:
        translate.plan(spec, CPU)

    assert {p.where for p in caught.value.problems} == {"training.quantization_aware", "compute.dtype"}


def test_a_card_takes_what_a_cpu_does_not():
    """The machine decides what is refused."""
    spec = JobSpec(**BASE, compute={"dtype": "float16", "attention": "flash_attention_2"})

    assert translate.plan(spec, CARD).native["model"]["dtype"] == "float16"


def test_more_devices_are_ignored():
    """Devices are advice: the plan shows that one is used."""
    plan = translate.plan(JobSpec(**BASE, compute={"devices": 4}), CPU)

    assert [note.field for note in plan.set_aside] == ["compute.devices"]


def test_missing_tracker(monkeypatch):
    """A tracker that is not installed is refused with the line that installs it."""
    monkeypatch.setattr(translate, "find_spec", lambda name: None)

    with pytest.raises(UnsupportedSpec, match=r"pip install 'ftsdk\[trackers\]'"):
        translate.plan(JobSpec(**BASE, report_to=["wandb"]), CPU)


def test_local_folder_is_taken_by_its_whole_path(tiny_model, monkeypatch):
    """The worker runs elsewhere, so relative paths become whole ones."""
    monkeypatch.chdir(tiny_model.parent)

    plan = translate.plan(JobSpec(model="tiny-model", dataset="rows.jsonl"), CPU)

    assert plan.native["model"]["name"] == str(tiny_model)
    assert plan.native["data"]["dataset"]["path"] == [str(tiny_model.parent / "rows.jsonl")]


def test_forecast_for_a_model_at_hand(tiny_model):
    """The plan forecasts memory where the model's dimensions are on this disk, and has none otherwise."""
    here = translate.plan(JobSpec(model=str(tiny_model), dataset="rows.jsonl"), CPU).memory
    there = translate.plan(JobSpec(**BASE), CPU).memory

    assert (here.total > 10**6, there) == (True, None)


def test_a_plan_prints_as_a_page():
    """Printing a plan shows the request, what became of each field, and that nothing was sent."""
    page = str(translate.plan(JobSpec(**BASE, compute={"devices": 4}), CPU))

    assert page.startswith("plan for local; nothing has been sent")
    assert "adapter.alpha -> lora_alpha" in page
    assert "compute.devices: the local engine trains on one device" in page


@pytest.mark.parametrize("adapter", [{"use_dora": True}, {"dropout": 0.1}])
def test_only_a_merged_weight_can_be_rounded(adapter):
    """Quantization-aware training rounds base and adapter together, which DoRA and dropout keep apart."""
    with pytest.raises(UnsupportedSpec, match=r"training\.quantization_aware"):
        translate.plan(JobSpec(**BASE, adapter=adapter, training={"quantization_aware": "int4"}), CPU)
