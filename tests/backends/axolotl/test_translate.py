"""A spec becomes Axolotl's YAML, every portable field in it; what it does not support is refused, or noted."""

import pytest
import yaml
from engine_translations import ALL_SET, CARD, CPU, Translation
from golden_files import golden

from ftsdk_axolotl import translate
from ftsdk_axolotl.engine import AxolotlOptions

ENGINE = Translation(translate, AxolotlOptions, "0.19.0")
planned, refused = ENGINE.planned, ENGINE.refused
OWN_PYTHON = {"backend_options": {"axolotl": {"python": "/opt/axolotl/bin/python"}}}

SPECS = {
    "defaults": ({}, CPU),
    "qlora": ({"compute": {"quantization": "nf4", "attention": "flash_attention_2"}, **OWN_PYTHON}, CARD),
    "fp4-single-dora": (
        {"adapter": {"use_dora": True}, "compute": {"quantization": "fp4", "double_quantization": False}},
        CPU,
    ),
    "int8": ({"compute": {"quantization": "int8", "dtype": "float16"}}, CARD),
    "rslora-gaussian": ({"adapter": {"use_rslora": True, "init": "gaussian"}}, CPU),
    "all-set": (
        {
            **ALL_SET,
            "training": {**ALL_SET["training"], "warmup_steps": 1, "save_steps": 40, "early_stopping_patience": 2},
        },
        CARD,
    ),
    "full": ({"adapter": None, "eval_dataset": "/data/held.jsonl"}, CARD),
    "dpo": ({"method": {"type": "dpo", "beta": 0.3, "label_smoothing": 0.1}}, CARD),
    "dpo-ipo": ({"method": {"type": "dpo", "loss_type": "ipo"}}, CPU),
    "kto": ({"method": {"type": "kto", "beta": 0.2, "desirable_weight": 1.5}}, CPU),
    "orpo": ({"method": {"type": "orpo", "beta": 0.2}}, CPU),
    "reward": ({"method": {"type": "reward_modeling", "center_rewards_coefficient": 0.01}}, CPU),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_yaml(name):
    """Each spec becomes exactly the kept YAML; UPDATE_GOLDEN=1 writes them anew, for review."""
    native = planned(*SPECS[name]).native
    text = yaml.safe_dump(native["config"], sort_keys=False)

    assert golden(f"backends/axolotl/golden/{name}.yaml", text) == text


def test_arguments_without_a_key():
    """What Axolotl has no key for, or reads otherwise, is in the plan, too: one step of warm-up stays one."""
    assert {
        "warmup_steps": 1.0,
        "data_seed": 7,
        "eval_on_start": False,
        "logging_nan_inf_filter": False,
    } == planned(*SPECS["all-set"]).native["task"]["arguments"]


REFUSED = {
    "method": {"method": {"type": "ppo", "reward": "module:function"}},
    "method.label_smoothing": {"method": {"type": "dpo", "loss_type": "ipo", "label_smoothing": 0.1}},
    "adapter.init": {"adapter": {"init": "pissa"}},
    "adapter.alpha": {"adapter": {"r": 3, "alpha": 4.5}},
    "training.packing": {"training": {"packing": True}},
    "training.quantization_aware": {"training": {"quantization_aware": "int8"}},
    "training.early_stopping_patience": {"val_size": 0.1, "training": {"early_stopping_patience": 2}},
    "training.early_stopping_threshold": {"val_size": 0.1, "training": {"early_stopping_threshold": 0.1}},
    "training.neftune_noise_alpha": {"method": "dpo", "training": {"neftune_noise_alpha": 5}},
    "trust_remote_code": {"method": "reward_modeling", "trust_remote_code": True},
    "report_to": {"report_to": ["wandb"]},
    "push_to_hub": {"push_to_hub": True, "hub_model_id": "me/tuned"},
    "dataset.path": {"dataset": "ftp://host/rows.jsonl"},
    "dataset.chat_template": {"dataset": {"path": "/data/rows.jsonl", "chat_template": "missing.jinja"}},
    "dataset.format": {"method": "dpo", "dataset": {"path": "/data/r.jsonl", "format": "text"}},
    "compute.dtype": {"compute": {"dtype": "bfloat16"}},
    "compute.attention": {"compute": {"attention": "flash_attention_2"}},
    "compute.quantization": {"method": "reward_modeling", "compute": {"quantization": "int8"}},
    "compute.per_device_train_batch_size": {
        "compute": {"per_device_train_batch_size": 3},
        "training": {"global_batch_size": 16},
    },
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_it_cannot_do_is_refused(field):
    """The refusal names the field."""
    assert field in refused(REFUSED[field])


STOPS = {"early_stopping_patience": 2, "eval_steps": 4}


@pytest.mark.parametrize(
    "changes",
    [{"method": "dpo", "training": STOPS}, {"training": {**STOPS, "save_steps": 6}}],
    ids=["preferences", "saving at other steps"],
)
def test_early_stopping_has_limits(changes):
    """Axolotl stops early in supervised training alone, and where it saves with its evaluations."""
    assert "training.early_stopping_patience" in refused({"val_size": 0.1, **changes})


def test_kto_takes_no_single_rows():
    """TRL's KTO ends where a batch has one row; the plan refuses it before."""
    compute = {"compute": {"per_device_train_batch_size": 1}}

    assert "compute.per_device_train_batch_size" in refused({"method": "kto", **compute})


def test_int8_is_not_computed_in_float32():
    """Axolotl would take float16 in silence."""
    assert "compute.dtype" in refused({"compute": {"quantization": "int8", "dtype": "float32"}}, CARD)


def test_flash_attention_needs_a_python_of_ones_own():
    """The environment that ftsdk makes holds none, on a card, too."""
    assert "compute.attention" in refused({"compute": {"attention": "flash_attention_2"}}, CARD)
