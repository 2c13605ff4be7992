"""A spec becomes LLaMA-Factory's YAML, every portable field in it; what it does not support is refused, or noted."""

import json

import pytest
import yaml
from engine_translations import ALL_SET, CARD, CPU, Translation
from golden_files import golden

from ftsdk import JobSpec
from ftsdk_llamafactory import translate
from ftsdk_llamafactory.engine import LlamaFactoryOptions

ENGINE = Translation(translate, LlamaFactoryOptions, "0.9.5")
planned, refused = ENGINE.planned, ENGINE.refused

SPECS = {
    "defaults": ({}, CPU),
    "qlora": ({"compute": {"quantization": "nf4", "attention": "flash_attention_2"}}, CARD),
    "int8": ({"compute": {"quantization": "int8", "dtype": "float16"}}, CARD),
    "dora-rslora": ({"adapter": {"use_dora": True, "use_rslora": True}}, CPU),
    "all-set": (ALL_SET, CARD),
    "full": ({"adapter": None, "eval_dataset": "/data/held.jsonl"}, CARD),
    "dpo": ({"method": {"type": "dpo", "beta": 0.3, "label_smoothing": 0.1}}, CARD),
    "dpo-ipo": ({"method": {"type": "dpo", "loss_type": "ipo"}}, CPU),
    "orpo": ({"method": {"type": "orpo", "beta": 0.2}}, CPU),
    "kto": ({"method": {"type": "kto", "beta": 0.2, "desirable_weight": 1.5}}, CARD),
    "reward_modeling": ({"method": "reward_modeling", "val_size": 0.1}, CARD),
    "ppo": (
        {
            "method": {
                "type": "ppo",
                "reward": "org/scorer",
                "target_kl": 4.0,
                "num_mini_batches": 2,
                "max_new_tokens": 64,
                "kl_coef": 0.2,
                "missing_eos_penalty": 0,
            },
            "compute": {"quantization": "nf4"},
        },
        CARD,
    ),
    "ppo-blank": ({"method": {"type": "ppo", "reward": "org/scorer"}, "training": {"save_steps": 5}}, CPU),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_yaml(name):
    """Each spec becomes exactly the kept YAML; UPDATE_GOLDEN=1 writes them anew, for review."""
    text = yaml.safe_dump(planned(*SPECS[name]).native["config"], sort_keys=False)

    assert golden(f"backends/llamafactory/golden/{name}.yaml", text) == text


PPO = {"type": "ppo", "reward": "org/scorer"}

REFUSED = {
    "method": {"method": {"type": "grpo", "reward": "org/scorer"}},
    "method.center_rewards_coefficient": {"method": {"type": "reward_modeling", "center_rewards_coefficient": 0.1}},
    "adapter": {"method": "reward_modeling", "adapter": None},
    "method.reward": {"method": {"type": "ppo", "reward": "rewards:short"}},
    "method.kl_coef": {"method": {**PPO, "kl_coef": 0.1}},
    "method.temperature": {"method": {**PPO, "temperature": 0.7}},
    "val_size": {"method": PPO, "val_size": 0.1},
    "method.label_smoothing": {"method": {"type": "dpo", "loss_type": "ipo", "label_smoothing": 0.1}},
    "adapter.init": {"adapter": {"init": "pissa"}},
    "adapter.alpha": {"adapter": {"r": 3, "alpha": 4.5}},
    "adapter.use_dora": {"adapter": {"use_dora": True}, "compute": {"quantization": "nf4"}},
    "training.packing": {"training": {"packing": True}},
    "training.quantization_aware": {"training": {"quantization_aware": "int8"}},
    "training.early_stopping_patience": {"val_size": 0.1, "training": {"early_stopping_patience": 2}},
    "training.neftune_noise_alpha": {"method": "dpo", "training": {"neftune_noise_alpha": 5}},
    "report_to": {"report_to": ["wandb"]},
    "push_to_hub": {"push_to_hub": True, "hub_model_id": "me/tuned"},
    "dataset.path": {"dataset": "ftp://host/rows.jsonl"},
    "dataset.chat_template": {"dataset": {"path": "/data/rows.jsonl", "chat_template": "missing.jinja"}},
    "dataset.format": {"method": "dpo", "dataset": {"path": "/data/r.jsonl", "format": "text"}},
    "compute.dtype": {"compute": {"dtype": "bfloat16"}},
    "compute.attention": {"compute": {"attention": "flash_attention_2"}},
    "compute.per_device_train_batch_size": {
        "compute": {"per_device_train_batch_size": 3},
        "training": {"global_batch_size": 16},
    },
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_it_cannot_do_is_refused(field):
    """The refusal names the field."""
    assert field in refused(REFUSED[field])


def test_ppo_reads_no_model_of_today(tiny_model):
    """Its Transformers is of 2025, and would misread the rotary embeddings of newer files in silence."""
    assert "model" in refused({"model": str(tiny_model), "method": PPO})


def test_what_ppo_decides_by_itself_is_noted():
    """A coefficient that the user left blank is LLaMA-Factory's, and the plan notes it."""
    fields = {note.field for note in planned({"method": PPO}).backends_own}

    assert {"method.kl_coef", "method.missing_eos_penalty", "method.target_kl"} <= fields


def test_the_forecast_is_of_whole_logits(tiny_model):
    """Trainer's own loss holds all logits of a batch: 16 bytes each in float32."""
    spec = JobSpec(model=str(tiny_model), dataset="rows.jsonl", training={"max_length": 64, "global_batch_size": 4})
    plan = translate.plan(spec, LlamaFactoryOptions(), CPU, "0.9.5")

    rows = plan.native["config"]["per_device_train_batch_size"]
    assert plan.memory.logits == rows * 64 * plan.basis.architecture.vocabulary * 16
    assert (plan.device, plan.device_memory) == (CPU.name, CPU.memory)


def test_a_reward_model_of_today_is_refused_for_ppo(tmp_path, tiny_model):
    """Its base would be misread as the policy's would; the plan refuses it, and not the job."""
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"task_type": "SEQ_CLS", "base_model_name_or_path": str(tiny_model)})
    )

    assert "method.reward" in refused({"method": {"type": "ppo", "reward": str(tmp_path)}})


def test_lengths_beyond_the_model_are_warned_of(tiny_model):
    """Transformers trains on positions that the model has never seen, without a warning."""
    warnings = planned({"model": str(tiny_model), "training": {"max_length": 4096}}).warnings

    assert any("beyond the 1024 positions" in warning for warning in warnings)
