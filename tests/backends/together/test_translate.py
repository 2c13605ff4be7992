"""The translation for Together: what each spec becomes, kept as files that a reviewer reads."""

import json
from pathlib import Path

import jsonschema
import pytest
from golden_files import golden
from together.lib.resources.fine_tuning import create_finetune_request
from together.types.finetune_model_limits import FinetuneModelLimits
from together_service import LIMITS, LORA_ONLY, MODEL

from ftsdk import JobSpec
from ftsdk.errors import UnsupportedSpec
from ftsdk_together import translate
from ftsdk_together.limits import Limits
from ftsdk_together.options import TogetherOptions

BODY = json.loads((Path(__file__).parent / "create.schema.json").read_text(encoding="utf-8"))

CONTEXT = translate.TogetherContext(limits=Limits.model_validate(LIMITS), keys=frozenset({"WANDB_API_KEY", "HF_TOKEN"}))
BASE = {"model": MODEL, "dataset": "/data/rows.jsonl"}

SPECS = {
    "defaults": {},
    "lora-all-set": {
        "adapter": {"r": 8, "alpha": 32, "dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
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
            "seed": 7,
        },
        "method": {"type": "sft", "train_on": "all"},
    },
    "full": {"adapter": None, "training": {"global_batch_size": 48}, "name": "my run"},
    "dpo": {"method": {"type": "dpo", "beta": 0.3}, "training": {"max_length": 2048}},
    "dpo-simpo": {"method": "dpo", "backend_options": {"together": {"simpo_gamma": 0.5, "rpo_alpha": 0.2}}},
    "early-stopping": {
        "eval_dataset": "/data/held_out.jsonl",
        "training": {"early_stopping_patience": 2, "early_stopping_threshold": 0.01},
        "backend_options": {
            "together": {"n_evals": 10, "early_stopping_warmup_evals": 2, "n_checkpoints": 3, "min_lr_ratio": 0.1}
        },
    },
    "tracked-and-pushed": {
        "val_size": 0.1,
        "report_to": ["wandb"],
        "name": "my run",
        "push_to_hub": True,
        "hub_model_id": "me/tuned",
        "backend_options": {"together": {"wandb_project": "tuning", "price_limit": 20.0, "suffix": "mine"}},
    },
    "from-checkpoint": {"backend_options": {"together": {"from_checkpoint": "ft-1234:20", "on_ambiguous": "recreate"}}},
}


def planned(changes=None, context=CONTEXT):
    """The plan for a spec."""
    spec = JobSpec(**{**BASE, **(changes or {})})
    options = TogetherOptions.model_validate(spec.backend_options.get("together", {}))
    return translate.plan(spec, options, context)


def refused(changes, context=CONTEXT):
    """From each refused field to its message."""
    with pytest.raises(UnsupportedSpec) as caught:
        planned(changes, context)
    return {problem.where: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize("name", SPECS)
def test_native_request(name):
    """A spec becomes exactly the request in its golden file; UPDATE_GOLDEN=1 writes them again."""
    request = json.dumps(planned(SPECS[name]).native, indent=2) + "\n"

    assert golden(f"backends/together/golden/{name}.json", request) == request


@pytest.mark.parametrize("name", SPECS)
def test_requests_fit_the_published_description(name):
    """Each request fits the service's own description, corrected where the client's source shows it to be wrong."""
    jsonschema.validate(planned(SPECS[name]).native["create"], BODY)


ARGUMENTS = {
    **{name: name for name in ("training_file", "validation_file", "model", "from_checkpoint", "suffix")},
    **{name: name for name in ("n_epochs", "n_evals", "n_checkpoints", "batch_size", "gradient_accumulation_steps")},
    **{name: name for name in ("learning_rate", "warmup_ratio", "max_grad_norm", "weight_decay", "random_seed")},
    **{name: name for name in ("max_seq_length", "packing", "wandb_project_name", "wandb_name", "hf_output_repo_name")},
    **{f"early_stopping_{name}": f"early_stopping_{name}" for name in ("enabled", "patience", "min_delta")},
    "early_stopping_warmup_evals": "early_stopping_warmup_evals",
}


@pytest.mark.parametrize("name", SPECS)
def test_requests_are_those_of_the_official_client(name, capsys):
    """The client's own function, given the same values, makes the same request."""
    request = planned(SPECS[name]).native["create"]
    kind, method, scheduler = request["training_type"], dict(request["training_method"]), request["lr_scheduler"]
    arguments = {argument: request[native] for native, argument in ARGUMENTS.items() if native in request}
    arguments |= {"lora": kind["type"] == "Lora", **{n: v for n, v in kind.items() if n != "type"}}
    arguments |= {"training_method": method.pop("method"), **method}
    arguments.pop("dpo_reference_free", None)
    arguments |= {"lr_scheduler_type": scheduler["lr_scheduler_type"]}
    arguments |= {"min_lr_ratio": scheduler["lr_scheduler_args"]["min_lr_ratio"]}

    client_request, _, _ = create_finetune_request(FinetuneModelLimits.model_validate(LIMITS), **arguments)

    expected = client_request.model_dump(exclude_none=True)
    assert {name: value for name, value in expected.items() if value != ""} == request
    capsys.readouterr()  # the client prints


REFUSED = {
    "method": {"method": "kto"},
    "model_revision": {"model_revision": "abc"},
    "model": {"model": "./folder"},
    "trust_remote_code": {"trust_remote_code": True},
    "adapter.use_dora": {"adapter": {"use_dora": True}},
    "adapter.use_rslora": {"adapter": {"use_rslora": True}},
    "adapter.init": {"adapter": {"init": "pissa"}},
    "adapter.alpha": {"adapter": {"alpha": 16.5}},
    "adapter.r": {"adapter": {"r": 128}},
    "adapter.target_modules": {"adapter": {"target_modules": ["q_proj", "lm_head"]}},
    "training.max_steps": {"training": {"max_steps": 100}},
    "training.num_train_epochs": {"training": {"num_train_epochs": 1.5}},
    "training.warmup_steps": {"training": {"warmup_steps": 10}},
    "training.lr_scheduler_type": {"training": {"lr_scheduler_type": "constant"}},
    "training.learning_rate": {"training": {"learning_rate": 0.5}},
    "training.global_batch_size": {"training": {"global_batch_size": 20}},
    "training.max_length": {"training": {"max_length": 100_000}},
    "training.optim": {"training": {"optim": "paged_adamw_8bit"}},
    "training.adam_beta1": {"training": {"adam_beta1": 0.8}},
    "training.logging_steps": {"training": {"logging_steps": 5}},
    "training.quantization_aware": {"training": {"quantization_aware": "int8"}},
    "training.neftune_noise_alpha": {"training": {"neftune_noise_alpha": 5}},
    "training.eval_steps": {"training": {"eval_steps": 5}, "val_size": 0.1},
    "training.save_steps": {"training": {"save_steps": 5}},
    "training.early_stopping_patience": {"training": {"early_stopping_patience": 9}, "val_size": 0.1},
    "training.early_stopping_threshold": {"training": {"early_stopping_threshold": 0.1}},
    "method.loss_type": {"method": {"type": "dpo", "loss_type": "ipo"}},
    "method.label_smoothing": {"method": {"type": "dpo", "label_smoothing": 0.1}},
    "dataset.path": {"dataset": "org/name"},
    "dataset.format": {"dataset": {"path": "/data/rows.jsonl", "format": "preference"}},
    "dataset.chat_template": {"dataset": {"path": "/data/rows.jsonl", "chat_template": "t.jinja"}},
    "report_to": {"report_to": ["mlflow"]},
    "backend_options.together.price_limit": {"backend_options": {"together": {"price_limit": 3.0}}},
    "backend_options.together.rpo_alpha": {"backend_options": {"together": {"rpo_alpha": 1.0}}},
    "backend_options.together.wandb_project": {"backend_options": {"together": {"wandb_project": "p"}}},
    "backend_options.together.n_evals": {"backend_options": {"together": {"n_evals": 3}}},
    "backend_options.together.n_checkpoints": {"backend_options": {"together": {"n_checkpoints": 4}}},
}


@pytest.mark.parametrize(("field", "changes"), REFUSED.items(), ids=REFUSED)
def test_refused(field, changes):
    """What Together has no setting for, or cannot do with this model, is refused by its field."""
    assert field in refused(changes)


def test_all_refusals_come_at_once():
    """One error names every field, so that users fix them in one go."""
    changes = {"model_revision": "abc", "training": {"max_steps": 5, "optim": "sgd", "global_batch_size": 7}}

    assert {"model_revision", "training.max_steps", "training.optim", "training.global_batch_size"} == set(
        refused(changes)
    )


def test_an_impossible_batch_names_the_possible_ones():
    """For an impossible batch, the nearest legal ones are shown, each with its learning rate."""
    message = refused({"training": {"global_batch_size": 20, "learning_rate": 2e-4}})["training.global_batch_size"]

    assert "16 (with learning_rate=0.00018" in message
    assert "24 (with learning_rate=0.00022" in message


@pytest.mark.parametrize(("batch", "native"), [(8, (8, 1)), (16, (8, 2)), (64, (8, 8))])
def test_a_batch_is_made_of_legal_ones(batch, native):
    """A global batch is the one legal native size, times accumulation, which is never left to the service."""
    create = planned({"training": {"global_batch_size": batch}}).native["create"]

    assert native == (create["batch_size"], create["gradient_accumulation_steps"])


def test_full_training_where_there_is_none():
    """A model that Together trains with LoRA only refuses full training, although its limits are numbers."""
    limits = {**LIMITS, "supports_full_training": False}
    limits["full_training"] = {"min_batch_size": 0, "max_batch_size": 0, "max_batch_size_dpo": 0}
    context = CONTEXT._replace(limits=Limits.model_validate(limits))

    assert ["adapter"] == list(refused({"model": LORA_ONLY, "adapter": None}, context))


def test_keys_are_needed_and_named_only():
    """Trackers and the Hub need keys; a missing one is refused, and a plan holds the variable's name alone."""
    changes = SPECS["tracked-and-pushed"]

    assert {"report_to", "push_to_hub", "hub_model_id"} == set(refused(changes, CONTEXT._replace(keys=frozenset())))
    assert {"wandb_key": "WANDB_API_KEY", "hf_api_token": "HF_TOKEN"} == planned(changes).native["keys"]


def test_quantization_is_ignored():
    """Quantization is advice: the plan says that Together chooses, and does not call it QLoRA."""
    plan = planned({"compute": {"quantization": "nf4", "devices": 2}})

    assert ["compute.devices", "compute.quantization"] == [note.field for note in plan.set_aside]


def test_the_checkpoint_is_of_the_model():
    """To start from a job of another base model is refused."""
    context = CONTEXT._replace(parent="other/model")

    assert ["model"] == list(refused(SPECS["from-checkpoint"], context))


def test_text_rows_carry_loss_everywhere():
    """Plain text has nothing to mask."""
    create = planned(context=CONTEXT._replace(text=True)).native["create"]

    assert {"method": "sft", "train_on_inputs": True} == create["training_method"]


def test_without_limits_the_plan_warns():
    """A plan that was made without a key warns that nothing was checked, and is marked."""
    plan = planned(context=translate.TogetherContext())

    assert any("not checked" in warning for warning in plan.warnings)
    assert plan.native["limits_checked"] is False


def test_limits_with_gaps():
    """An answer that leaves limits out, as older ones do, refuses nothing for them."""
    limits = Limits.model_validate({"lora_training": {"min_batch_size": 8, "max_batch_size": 8}})
    context = CONTEXT._replace(limits=limits)

    assert 8 == planned(context=context).native["create"]["batch_size"]
