"""A spec becomes Unsloth's calls and TRL's arguments, every portable field in them; the rest is refused, or noted."""

import json

import pytest
from engine_translations import ALL_SET, CARD, CPU, Translation
from golden_files import golden
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.errors import UnsupportedSpec
from ftsdk.huggingface.revisions import Pin
from ftsdk_unsloth import translate
from ftsdk_unsloth.engine import UnslothOptions

ENGINE = Translation(translate, UnslothOptions, "2026.10.9")
planned, refused = ENGINE.planned, ENGINE.refused

SPECS = {
    "defaults": ({}, CPU),
    "qlora": ({"compute": {"quantization": "nf4"}, "training": {"optim": "adamw_8bit"}}, CARD),
    "int8": ({"compute": {"quantization": "int8", "dtype": "float16"}}, CARD),
    "dora-rslora": ({"adapter": {"use_dora": True, "use_rslora": True, "init": "gaussian"}}, CPU),
    "all-set": ({**ALL_SET, "adapter": {**ALL_SET["adapter"], "alpha": 12.5}}, CPU),
    "full": ({"adapter": None, "eval_dataset": "/data/held.jsonl"}, CARD),
    "early-stopping": (
        {"val_size": 8, "training": {"early_stopping_patience": 2, "early_stopping_threshold": 0.1, "eval_steps": 5}},
        CPU,
    ),
    "dpo": ({"method": {"type": "dpo", "beta": 0.3, "label_smoothing": 0.1}}, CARD),
    "dpo-ipo": ({"method": {"type": "dpo", "loss_type": "ipo"}}, CPU),
    "kto": ({"method": {"type": "kto", "desirable_weight": 1.5}, "training": {"global_batch_size": 7}}, CPU),
    "orpo": ({"method": {"type": "orpo", "beta": 0.2}}, CPU),
    "reward": ({"method": {"type": "reward_modeling", "center_rewards_coefficient": 0.01}}, CPU),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_job_file(name):
    """Each spec becomes exactly the kept job.json; UPDATE_GOLDEN=1 writes them anew, for review."""
    job_file = json.dumps(planned(*SPECS[name]).native["config"], indent=2) + "\n"

    assert golden(f"backends/unsloth/golden/{name}.json", job_file) == job_file


REFUSED = {
    "method": {"method": {"type": "ppo", "reward": "org/reward"}},
    "method.label_smoothing": {"method": {"type": "dpo", "loss_type": "ipo", "label_smoothing": 0.1}},
    "adapter.init": {"adapter": {"init": "pissa"}},
    "adapter.target_modules": {"adapter": {"target_modules": ["q_proj", "lm_head"]}},
    "training.optim": {"training": {"optim": "adamw_8bit"}},
    "training.packing": {"training": {"packing": True}},
    "training.quantization_aware": {"training": {"quantization_aware": "int8"}},
    "training.save_steps": {"val_size": 0.1, "training": {"early_stopping_patience": 2, "save_steps": 5}},
    "training.neftune_noise_alpha": {"method": "dpo", "training": {"neftune_noise_alpha": 5}},
    "training.global_batch_size": {"method": "kto", "training": {"global_batch_size": 1}},
    "report_to": {"report_to": ["wandb"]},
    "push_to_hub": {"push_to_hub": True, "hub_model_id": "me/tuned"},
    "dataset.path": {"dataset": "ftp://host/rows.jsonl"},
    "dataset.format": {"method": "dpo", "dataset": {"path": "/data/r.jsonl", "format": "text"}},
    "compute.quantization": {"compute": {"quantization": "int8"}},
    "compute.dtype": {"compute": {"dtype": "bfloat16"}},
    "compute.attention": {"compute": {"attention": "flash_attention_2"}},
    "compute.per_device_train_batch_size": {"method": "kto", "compute": {"per_device_train_batch_size": 1}},
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_it_cannot_do_is_refused(field):
    """The refusal names the field."""
    assert field in refused(REFUSED[field])


@pytest.mark.parametrize(
    "compute", [{"dtype": "float32"}, {"quantization": "fp4"}], ids=["compute.dtype", "compute.quantization"]
)
def test_what_it_cannot_do_on_a_card_is_refused(compute, request):
    """On a card Unsloth turns to 16 bits whatever the setting, and its 4 bits are nf4."""
    assert request.node.callspec.id in refused({"compute": compute}, CARD)


def test_advice_that_it_ignores_is_noted():
    """Its own attention on a card, and scales that are quantized in any case."""
    compute = {"quantization": "nf4", "double_quantization": False, "attention": "eager", "memory_limit": "8GiB"}
    notes = planned({"compute": compute}, CARD).set_aside

    assert ["compute.attention", "compute.double_quantization", "compute.memory_limit"] == [
        note.field for note in notes
    ]


def test_its_own_checkpointing_can_be_turned_off():
    """PyTorch's way of recomputing activations, in both calls."""
    config = planned(gradient_checkpointing="torch").native["config"]

    assert (True, True) == tuple(config[call]["use_gradient_checkpointing"] for call in CALLS)


CALLS = ("from_pretrained", "get_peft_model")


def test_what_comes_from_the_hub_is_pinned():
    """The runner downloads the model at its commit, the worker the rows at theirs; no mirror of Unsloth's is taken."""
    pins = {"model": Pin("0123abc"), "dataset": Pin("4567def")}
    native = planned({"dataset": "org/rows"}, pins=pins).native
    task, loaded = native["task"], native["config"]["from_pretrained"]

    assert ("0123abc", "4567def") == (task["model_revision"], task["dataset"]["revision"])
    assert ("org/base", True) == (loaded["model_name"], loaded["use_exact_model_name"])


def test_telemetry_is_turned_off():
    """The opt-outs of everything that Unsloth would send are in the plan."""
    environment = planned().native["environment"]

    assert {"1"} == {environment[name] for name in ("UNSLOTH_DISABLE_STATISTICS", "HF_HUB_DISABLE_TELEMETRY")}


@given(step_rows=st.integers(1, 512), batch_rows=st.none() | st.integers(1, 64), method=st.sampled_from(["sft", "kto"]))
def test_batches_are_kept(step_rows, batch_rows, method):
    """However a step is cut, it has as many rows as in the spec, or the spec is refused; KTO has two at a time."""
    compute = {} if batch_rows is None or batch_rows > step_rows else {"per_device_train_batch_size": batch_rows}
    changes = {"training": {"global_batch_size": step_rows}, "compute": compute, "method": method}
    try:
        arguments = planned(changes).native["config"]["arguments"]
    except UnsupportedSpec:
        assert (batch_rows and step_rows % batch_rows) or (method == "kto" and (step_rows == 1 or batch_rows == 1))
    else:
        assert step_rows == arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"]
        assert (1 if method == "sft" else 2) <= arguments["per_device_train_batch_size"]


def test_positions_are_not_stretched(tiny_model):
    """A length that the model was not made for would change its rotary embeddings: the plan refuses it."""
    problems = refused({"model": str(tiny_model), "training": {"max_length": 2048}})

    assert "1024 positions" in problems["training.max_length"]
