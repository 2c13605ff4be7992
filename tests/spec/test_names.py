"""Each name of another tool leads to one field of ours."""

import itertools

import pytest

from ftsdk.errors import SpecError
from ftsdk.spec.aliases import (
    AMBIGUOUS_ALIASES,
    FIELDS,
    FLAT_FIELDS,
    RENAMED,
    VALUE_ALIASES,
    VALUE_SYNONYMS,
    fields_of_alias,
)
from ftsdk.spec.canonical import canonical
from ftsdk.spec.loader import load_spec

LEAST = {"model": "m", "dataset": "d.jsonl"}


def value_of(spec, field):
    for part in field.split("."):
        spec = getattr(spec, part)
    return spec


def test_every_alias_leads_to_a_field():
    """No table names a field that is not there."""
    fields = {alias.field for alias in RENAMED.values()} | {
        field for name in VALUE_ALIASES for field in fields_of_alias(name)
    }

    assert set() == (fields | set(VALUE_SYNONYMS)) - set(FIELDS)


def test_no_name_means_two_things():
    """A name stands in one table only."""
    tables = (set(RENAMED), set(VALUE_ALIASES) - {"adapter"}, set(AMBIGUOUS_ALIASES), set(FLAT_FIELDS), set(FIELDS))
    repeated = {name for first, second in itertools.combinations(tables, 2) for name in first & second}

    assert set() == repeated


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ({"lr": 1e-3}, "training.learning_rate", 1e-3),
        ({"learning_rate": "2e-4"}, "training.learning_rate", 2e-4),
        ({"training": {"lr": 1e-3}}, "training.learning_rate", 1e-3),
        ({"n_epochs": 2}, "training.num_train_epochs", 2.0),
        ({"sequence_len": 64}, "training.max_length", 64),
        ({"model_max_length": 64}, "training.max_length", 64),
        ({"sample_packing": True}, "training.packing", True),
        ({"optim": "adamw_bnb_8bit"}, "training.optim", "adamw_8bit"),
        ({"lora_r": 4}, "adapter.r", 4),
        ({"adapter": {"rank": 4}}, "adapter.r", 4),
        ({"peft": {"lora_rank": 4}}, "adapter.r", 4),
        ({"lora": {"r": 4}}, "adapter.r", 4),
        ({"adapter": "lora", "lora_r": 4}, "adapter.r", 4),
        ({"lora_target": "all"}, "adapter.target_modules", "all-linear"),
        ({"lora_target": "q_proj,v_proj"}, "adapter.target_modules", ("q_proj", "v_proj")),
        ({"finetuning_type": "full"}, "adapter", None),
        ({"use_peft": False}, "adapter", None),
        ({"full_finetuning": True}, "adapter", None),
        ({"load_in_4bit": True}, "compute.quantization", "nf4"),
        ({"load_in_4bit": False, "load_in_8bit": True}, "compute.quantization", "int8"),
        ({"load_in_4bit": None}, "compute.quantization", None),
        ({"bits": 4}, "compute.quantization", "nf4"),
        ({"quantization_bit": 8}, "compute.quantization", "int8"),
        ({"quantization": "int4"}, "compute.quantization", "nf4"),
        ({"adapter": "qlora", "load_in_4bit": True}, "compute.quantization", "nf4"),
        ({"bf16": True}, "compute.dtype", "bfloat16"),
        ({"bf16": False, "fp16": True}, "compute.dtype", "float16"),
        ({"torch_dtype": "torch.bfloat16"}, "compute.dtype", "bfloat16"),
        ({"micro_batch_size": 2}, "compute.per_device_train_batch_size", 2),
        ({"train_on_inputs": True}, "method.train_on", "all"),
        ({"assistant_only_loss": True}, "method.train_on", "assistant"),
        ({"completion_only_loss": True}, "method.train_on", "completion"),
        ({"rl": "ipo"}, "method.loss_type", "ipo"),
        ({"stage": "rm"}, "method.type", "reward_modeling"),
        ({"method": "supervised"}, "method.type", "sft"),
        ({"method": "dpo", "beta": 0.3}, "method.beta", 0.3),
        ({"method": "dpo", "dpo_beta": 0.3}, "method.beta", 0.3),
        ({"val_set_size": 0.1}, "val_size", 0.1),
        ({"max_samples": 5}, "dataset.max_samples", 5),
        ({"report_to": "none"}, "report_to", ()),
        ({"report_to": "wandb"}, "report_to", ("wandb",)),
        ({"training.learning_rate": 1e-3}, "training.learning_rate", 1e-3),
        ({"hyperparameters": {"n_epochs": 2}}, "training.num_train_epochs", 2.0),
    ],
)
def test_a_name_of_another_tool_is_understood(written, field, value):
    """A name that users know from another tool sets the field that it means."""
    assert value == value_of(load_spec(LEAST | written), field)


def test_a_whole_file_of_axolotl_is_understood():
    """The keys of a usual Axolotl QLoRA file make a spec of ours."""
    data, _ = canonical(
        {
            "base_model": "m",
            "datasets": [{"path": "d.jsonl", "type": "alpaca"}],
            "adapter": "qlora",
            "load_in_4bit": True,
            "load_in_8bit": False,
            "lora_r": 32,
            "lora_target_linear": True,
            "sequence_len": 2048,
            "num_epochs": 4,
            "optimizer": "paged_adamw_32bit",
            "bf16": "auto",
            "val_set_size": 0.05,
        }
    )

    assert data == {
        "model": "m",
        "dataset": {"path": "d.jsonl", "format": "alpaca"},
        "adapter": {"r": 32, "target_modules": "all-linear"},
        "val_size": 0.05,
        "training": {"max_length": 2048, "num_train_epochs": 4, "optim": "paged_adamw_32bit"},
        "compute": {"quantization": "nf4", "dtype": "auto"},
    }


def test_every_translation_is_echoed():
    """Each name of another tool is listed with our field; a canonical name is not."""
    _, notes = canonical({**LEAST, "lr": 1e-3, "load_in_4bit": True, "quantization": "int4", "training": {"seed": 1}})

    assert notes == [
        "lr -> training.learning_rate",
        "load_in_4bit -> compute.quantization: nf4",
    ]


def test_a_value_in_other_words_is_echoed():
    """A synonym of a value is listed as well, where the name was canonical."""
    assert ["compute.quantization is read as nf4"] == canonical({"compute": {"quantization": "int4"}})[1]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"lr": 1e-3, "learning_rate": 1e-4}, "lr and learning_rate do not agree"),
        ({"training": {"learning_rate": 1e-3}, "lr": 1e-4}, "training.learning_rate and lr do not agree"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "load_in_4bit and load_in_8bit do not agree"),
        ({"finetuning_type": "full", "lora_r": 8}, "finetuning_type and lora_r do not agree"),
        ({"training": 5, "lr": 1e-4}, "training and lr do not agree"),
    ],
)
def test_spellings_that_disagree_are_refused(written, message):
    """Two spellings of one field with different values are an error that names both."""
    with pytest.raises(SpecError) as caught:
        canonical(written)

    assert [message] == [problem.what for problem in caught.value.problems]


def test_spellings_that_agree_are_taken():
    """Two spellings with the same value are no contradiction."""
    assert {"training": {"learning_rate": 1e-3}} == canonical({"lr": 1e-3, "learning_rate": 1e-3})[0]


@pytest.mark.parametrize(
    ("written", "where", "fix"),
    [
        ({"learing_rate": 1}, "learing_rate", "did you mean learning_rate, that is training.learning_rate?"),
        ({"training": {"pakcing": 1}}, "training.pakcing", "did you mean packing, that is training.packing?"),
        ({"max_seq_lenght": 1}, "max_seq_lenght", "did you mean max_seq_length, that is training.max_length?"),
        ({"compute": {"learning_rate": 1}}, "compute.learning_rate", "it belongs to training.learning_rate"),
        ({"zzz": 1}, "zzz", "ftsdk explain lists all fields"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(written, where, fix):
    """A typing error is answered with the real name and its section."""
    with pytest.raises(SpecError) as caught:
        canonical(written)

    assert [(where, fix)] == [(problem.where, problem.fix) for problem in caught.value.problems]


@pytest.mark.parametrize("name", sorted(AMBIGUOUS_ALIASES))
def test_an_ambiguous_name_gets_a_question(name):
    """A name that means different things in other tools is refused, and the error says what to write."""
    with pytest.raises(SpecError) as caught:
        canonical({name: 8})

    assert [(name, AMBIGUOUS_ALIASES[name])] == [(problem.where, problem.fix) for problem in caught.value.problems]


def test_a_value_that_no_table_holds_is_refused():
    """An alias with an unknown value lists the known ones, and the field to set instead."""
    with pytest.raises(SpecError) as caught:
        canonical({"assistant_only_loss": False})

    assert "  - assistant_only_loss: expected true -> or set method.train_on" in str(caught.value)


def test_very_many_mistakes_stay_readable():
    """A file of ten thousand mistakes gives an error of some fifty lines."""
    names = {f"zzz{number}": 1 for number in range(10_000)}
    with pytest.raises(SpecError) as caught:
        load_spec(names | {"metadata": names})

    assert (51, "and more") == (len(caught.value.problems), caught.value.problems[-1].what)
