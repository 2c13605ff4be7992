"""The translation for AutoTrain: the YAML of each spec is kept in a golden file."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from golden_files import golden
from hypothesis import given
from hypothesis import strategies as st
from older_model import older_model

import ftsdk
from ftsdk import JobSpec
from ftsdk.errors import ConfigError, UnsupportedSpec
from ftsdk.huggingface.revisions import Pin
from ftsdk.workers.hardware import Machine
from ftsdk_autotrain import translate
from ftsdk_autotrain.engine import AutoTrainOptions

CPU = Machine("cpu", "CPU", 16 * 2**30, visible="")
CARD = Machine("cuda-0", "NVIDIA GeForce RTX 4090", 24 * 2**30, visible="0")
BASE = {"model": "meta-llama/Llama-3.1-8B-Instruct", "dataset": "/data/rows.jsonl"}

SPECS = {
    "defaults": ({}, CPU),
    "qlora": ({"compute": {"quantization": "nf4", "dtype": "bfloat16", "attention": "flash_attention_2"}}, CARD),
    "lora-all-set": (
        {
            "adapter": {"r": 8, "alpha": 32, "dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
            "method": {"type": "sft", "train_on": "all"},
            "training": {
                "num_train_epochs": 2,
                "learning_rate": 3e-5,
                "lr_scheduler_type": "linear",
                "warmup_ratio": 0.1,
                "global_batch_size": 24,
                "max_length": 4096,
                "packing": True,
                "weight_decay": 0.1,
                "max_grad_norm": 0.5,
                "seed": 42,
                "logging_steps": 5,
                "optim": "adafactor",
            },
            "compute": {"per_device_train_batch_size": 6, "gradient_checkpointing": False},
        },
        CARD,
    ),
    "full": ({"adapter": None, "trust_remote_code": True, "report_to": ["tensorboard"]}, CARD),
    "dpo": ({"method": {"type": "dpo", "beta": 0.3}, "training": {"max_length": 2048}}, CARD),
    "orpo": ({"method": "orpo", "backend_options": {"autotrain": {"merge_adapter": True, "padding": "left"}}}, CARD),
    "reward": ({"method": "reward_modeling"}, CPU),
}


def planned(changes=None, machine=CPU):
    spec = JobSpec(**{**BASE, **(changes or {})})
    options = AutoTrainOptions.model_validate(spec.backend_options.get("autotrain", {}))
    return translate.plan(spec, options, translate.AutoTrainContext("0.8.36", machine))


def refused(changes, machine=CPU):
    """From each refused field to its problem."""
    with pytest.raises(UnsupportedSpec) as caught:
        planned(changes, machine)
    return {problem.where: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize("name", SPECS)
def test_the_yaml(name):
    """Each spec becomes exactly the golden YAML; UPDATE_GOLDEN=1 rewrites the files, for review."""
    text = yaml.safe_dump(planned(*SPECS[name]).native["config"], sort_keys=False)

    assert golden(f"backends/autotrain/golden/{name}.yaml", text) == text


def test_every_parameter_is_sent():
    """AutoTrain's own defaults decide nothing: the YAML has each parameter of its language models."""
    config = planned().native["config"]
    parameters = {*config["params"], *config["data"]["column_mapping"], "train_split", "valid_split", "chat_template"}
    parameters |= {"model", "project_name", "data_path", "log", "trainer", "push_to_hub", "username", "token"}
    expected = set((Path(__file__).parent / "parameters.txt").read_text(encoding="utf-8").split())

    assert {"prompt_text_column", "rejected_text_column"} == expected - parameters
    assert set() == parameters - expected


REFUSED = {
    "method": {"method": "kto"},
    "eval_dataset": {"eval_dataset": "held.jsonl"},
    "val_size": {"val_size": 0.1},
    "method.train_on": {"method": {"type": "sft", "train_on": "completion"}},
    "method.loss_type": {"method": {"type": "dpo", "loss_type": "ipo"}},
    "method.label_smoothing": {"method": {"type": "dpo", "label_smoothing": 0.1}},
    "method.beta": {"method": {"type": "orpo", "beta": 0.5}},
    "method.center_rewards_coefficient": {"method": {"type": "reward_modeling", "center_rewards_coefficient": 0.1}},
    "adapter.use_dora": {"adapter": {"use_dora": True}},
    "adapter.use_rslora": {"adapter": {"use_rslora": True}},
    "adapter.init": {"adapter": {"init": "pissa"}},
    "adapter.alpha": {"adapter": {"r": 3, "alpha": 4.5}},
    "training.num_train_epochs": {"training": {"num_train_epochs": 1.5}},
    "training.max_steps": {"training": {"max_steps": 10}},
    "training.warmup_steps": {"training": {"warmup_steps": 10}},
    "training.adam_beta2": {"training": {"adam_beta2": 0.95}},
    "training.seed": {"training": {"seed": 7}},
    "training.neftune_noise_alpha": {"training": {"neftune_noise_alpha": 5}},
    "training.quantization_aware": {"training": {"quantization_aware": "int8"}},
    "training.save_steps": {"training": {"save_steps": 10}},
    "training.save_total_limit": {"training": {"save_total_limit": 3}},
    "training.packing": {"training": {"packing": False}},
    "report_to": {"report_to": ["mlflow"]},
    "push_to_hub": {"push_to_hub": True, "hub_model_id": "me/tuned"},
    "dataset.path": {"dataset": "ftp://host/rows.jsonl"},
    "dataset.format": {"method": "dpo", "dataset": {"path": "/data/r.jsonl", "format": "text"}},
    "compute.dtype": {"compute": {"dtype": "float16"}},
    "compute.per_device_train_batch_size": {
        "compute": {"per_device_train_batch_size": 3},
        "training": {"global_batch_size": 16},
    },
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_it_cannot_do_is_refused(field):
    """The refusal names the field."""
    assert field in refused(REFUSED[field])


def test_one_error_names_all():
    """One error lists all fields that are not supported."""
    problems = refused({"val_size": 0.1, "training": {"seed": 7, "max_steps": 5}, "adapter": {"use_dora": True}})

    assert {"val_size", "training.seed", "training.max_steps", "adapter.use_dora"} == set(problems)


def test_defaults_of_autotrain_are_shown():
    """Where AutoTrain's default differs from ours, and the spec has no value, the plan shows it."""
    fields = {note.field for note in planned().backends_own}

    assert {"method.train_on", "training.packing"} <= fields


def test_only_sft_packs():
    """DPO does not pack, so there is no default to show, and packing is refused."""
    assert "training.packing" not in {note.field for note in planned({"method": "dpo"}).backends_own}
    assert "training.packing" in refused({"method": "dpo", "training": {"packing": True}})


def test_quantization_needs_a_card():
    """Its bitsandbytes fails on a CPU, where the advice is ignored; on a card it is int4."""
    changes = {"compute": {"quantization": "nf4"}}

    on_cpu, on_card = planned(changes), planned(changes, CARD)

    assert [None, "int4"] == [plan.native["config"]["params"]["quantization"] for plan in (on_cpu, on_card)]
    assert [["compute.quantization"], []] == [[n.field for n in plan.set_aside] for plan in (on_cpu, on_card)]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model_type": "qwen3"}, "does not know models of the type 'qwen3'"),
        ({"model_type": "llama", "transformers_version": "5.1.0"}, "saved by Transformers 5.1.0"),
        ({"model_type": "llama", "rope_parameters": {}}, "misreads in silence"),
    ],
)
def test_models_that_are_too_new(tmp_path, config, problem):
    """Its Transformers is of January 2025; models that it cannot read, or misreads, are refused in the plan."""
    (tmp_path / "config.json").write_text(json.dumps(config))

    assert problem in refused({"model": str(tmp_path)})["model"]


def test_a_model_of_transformers_4_is_supported(tiny_model, tmp_path):
    """A model as Transformers 4 wrote it is supported."""
    model = older_model(tiny_model, tmp_path / "older")

    assert str(model) == planned({"model": str(model)}).native["config"]["base_model"]


def test_a_python_without_autotrain(older, tmp_path, ftsdk_home):
    """It is an error before there is a job."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "Arr"}\n' * 8)
    options = {"autotrain": {"python": sys.executable}}
    spec = JobSpec(model=str(older), dataset=str(rows), backend="autotrain", backend_options=options)

    with pytest.raises(ConfigError, match=r"has no autotrain-advanced, and this backend supports 0\.8\.36"):
        ftsdk.submit(spec)
    assert not (ftsdk_home / "jobs").exists()


def test_a_revision_of_a_hub_model_is_kept():
    """AutoTrain has no revisions: our runner downloads the commit, and links it where AutoTrain looks first."""
    assert "0123abc" == planned({"model_revision": "0123abc"}).native["rows"]["model_revision"]


def test_rows_of_the_hub_are_pinned():
    """They are downloaded at the commit in the plan."""
    spec = JobSpec(**{**BASE, "dataset": "org/rows"})
    context = translate.AutoTrainContext("0.8.36", CPU, {"dataset": Pin("0123abc")})
    dataset = translate.plan(spec, AutoTrainOptions(), context).native["rows"]["dataset"]

    assert (["org/rows"], "0123abc") == (dataset["path"], dataset["revision"])


def test_a_folder_has_no_revision(older):
    """A folder has no revisions to choose from."""
    assert "model_revision" in refused({"model": str(older), "model_revision": "main"})


def test_a_template_that_is_not_there(tmp_path):
    """A missing template file is refused in the plan."""
    assert "dataset.chat_template" in refused({"dataset": {"path": "rows.jsonl", "chat_template": "missing.jinja"}})


@given(batch_size=st.integers(1, 512), device_batch_size=st.none() | st.integers(1, 64))
def test_batches_are_kept(batch_size, device_batch_size):
    """However a step is split, it has as many rows as the spec requires, or the spec is refused."""
    is_set = device_batch_size is not None and device_batch_size <= batch_size
    compute = {"per_device_train_batch_size": device_batch_size} if is_set else {}
    try:
        params = planned({"training": {"global_batch_size": batch_size}, "compute": compute}).native["config"]["params"]
    except UnsupportedSpec:
        assert batch_size % device_batch_size
    else:
        assert batch_size == params["batch_size"] * params["gradient_accumulation"]
