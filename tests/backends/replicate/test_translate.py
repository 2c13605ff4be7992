"""The translation for Replicate: what each spec becomes on four trainers, kept as files for review."""

import json

import pytest
from golden_files import golden
from hypothesis import given
from hypothesis import strategies as st
from replicate_service import HEX, SCHEMAS

from ftsdk import JobSpec
from ftsdk.errors import ConfigError, UnsupportedSpec
from ftsdk_replicate import translate
from ftsdk_replicate.options import ReplicateOptions
from ftsdk_replicate.profile import Profile, read_profile
from ftsdk_replicate.schema import TrainerInput, fingerprint, read_inputs

LLAMA = "meta-llama/Llama-2-7b-hf"
BASE = {"model": LLAMA, "dataset": "/data/rows.jsonl"}
FACTS = {"model": LLAMA, "method": "sft", "method.train_on": "all"}
ALL = {"type": "sft", "train_on": "all"}


def planned(trainer, changes=None, profile=None, **options):
    """The plan for a spec on one of the trainers."""
    section = {
        "trainer": f"acme/{trainer}:{HEX[trainer]}",
        "destination": "me/tuned",
        "data_format": "prompt_completion",
        **options,
    }
    spec = JobSpec(**{**BASE, **(changes or {})}, backend_options={"replicate": section})
    context = translate.ReplicateContext(
        HEX[trainer], SCHEMAS.get(trainer), profile or Profile(), frozenset({"HF_TOKEN"})
    )
    return translate.plan(spec, ReplicateOptions.model_validate(section), context)


def refused(trainer, changes=None, profile=None, **options):
    """From each refused field to its message."""
    with pytest.raises(UnsupportedSpec) as caught:
        planned(trainer, changes, profile, **options)
    return {problem.where: str(problem) for problem in caught.value.problems}


SPECS = {
    "llama-2023-06-blank": ("llama-2023-06", {}, {"facts": FACTS}),
    "llama-2023-06-set": (
        "llama-2023-06",
        {"adapter": {"r": 4, "alpha": 8, "target_modules": ["q_proj"]}, "training": {"num_train_epochs": 2}},
        {"facts": FACTS},
    ),
    "llama-2023-10-qlora": (
        "llama-2023-10",
        {
            "method": ALL,
            "compute": {"quantization": "nf4"},
            "training": {"seed": 7, "packing": True, "global_batch_size": 8},
        },
        {
            "facts": FACTS,
            "field_map": {"peft_method": "compute.quantization", "chunk_size": "training.max_length"},
            "value_map": {"peft_method": {"nf4": "qlora", "none": "lora"}},
        },
    ),
    "llama-2023-10-held-out": ("llama-2023-10", {"eval_dataset": "/data/held.jsonl"}, {"facts": FACTS}),
    "modern-sft": (
        "modern",
        {
            "method": {"type": "sft", "train_on": "completion"},
            "compute": {"quantization": "nf4"},
            "training": {"num_train_epochs": 1.5, "seed": 7, "max_length": 512, "lr_scheduler_type": "linear"},
        },
        {"secrets": {"hf_token": "HF_TOKEN"}, "webhook": "https://example.org/hook"},
    ),
    "modern-dpo": (
        "modern",
        {"method": {"type": "dpo", "beta": 0.3}, "val_size": 0.1},
        {"data_format": "preference", "create_destination": True, "hardware": "gpu-t4"},
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_native_request(name):
    """Each spec becomes exactly the kept request; UPDATE_GOLDEN=1 writes them again, for review."""
    trainer, changes, options = SPECS[name]
    request = json.dumps(planned(trainer, changes, **options).native, indent=2) + "\n"

    assert golden(f"backends/replicate/golden/{name}.json", request) == request


def test_an_image_trainer_is_refused():
    """The error names its inputs, and says that it is none for language models."""
    problems = refused("image")

    assert "input_images" in problems["backend_options.replicate.trainer"]
    assert "no trainer of language models" in problems["backend_options.replicate.trainer"]


def test_a_trainer_that_publishes_nothing():
    """Nothing can be checked, so nothing is sent; the user can supply the schema."""
    assert "publishes no inputs" in refused("mute")["backend_options.replicate.trainer"]


def test_the_base_must_be_known():
    """A trainer that names no base may train another one than was meant."""
    assert "facts: {model: meta-llama/Llama-2-7b-hf}" in refused("llama-2023-06")["model"]


def test_another_base_is_refused():
    """The base model of the profile counts."""
    assert "always has 'org/other'" in refused("llama-2023-06", facts={**FACTS, "model": "org/other"})["model"]


REFUSED = {
    "method": {"method": "dpo"},
    "training.max_length": {"training": {"max_length": 512}},
    "training.seed": {"training": {"seed": 7}},
    "training.global_batch_size": {"training": {"global_batch_size": 4}},
    "training.num_train_epochs": {"training": {"num_train_epochs": 1.5}},
    "training.warmup_ratio": {"training": {"warmup_ratio": 0.9}},
    "adapter.use_dora": {"adapter": {"use_dora": True}},
    "method.train_on": {"method": {"type": "sft", "train_on": "completion"}},
    "adapter": {"adapter": None},
    "trust_remote_code": {"trust_remote_code": True},
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_it_cannot_do_is_refused(field):
    """Each explicitly set field is sent, always so, or refused; Replicate itself would drop it without a word."""
    assert field in refused("llama-2023-06", REFUSED[field], facts=FACTS)


def test_one_error_names_all():
    """Of a long spec on a small trainer, all unsupported fields are named at once."""
    changes = {"training": {"seed": 7, "max_length": 512}, "adapter": {"use_dora": True}}

    assert {"training.seed", "training.max_length", "adapter.use_dora"} == set(
        refused("llama-2023-06", changes, facts=FACTS)
    )


def test_units_are_not_guessed():
    """A batch per GPU is not the batch of a step: it is sent only where the trainer says "global"."""
    changes = {"training": {"global_batch_size": 4}}
    per_gpu = refused("llama-2023-06", changes, facts=FACTS)["training.global_batch_size"]
    inputs = planned("llama-2023-10", changes, facts=FACTS).native["create"]["input"]

    assert "no input for it" in per_gpu
    assert (4, 1) == (inputs["train_batch_size"], inputs["gradient_accumulation_steps"])


def test_rows_are_held_out_only_by_the_spec():
    """The trainer's 50 rows stay in the training, and where rows are held out, they are the spec's."""
    blank = planned("llama-2023-10", facts=FACTS).native["create"]["input"]
    split = planned("llama-2023-10", {"val_size": 4}, facts=FACTS).native["create"]["input"]

    assert (False, True) == (blank["run_validation"], split["run_validation"])
    assert translate.HELD_OUT_FILE == split["validation_data"]


def test_defaults_are_shown():
    """What is neither in the spec nor sent is shown, with the trainer's default."""
    defaults = dict(planned("llama-2023-06", facts=FACTS).backends_own)

    assert "the trainer's own default, -1" == defaults["max_steps"]


CONSTANTS = {
    "unknown": ({"lerning_rate": 1e-3}, "no input lerning_rate"),
    "for tests": ({"fake_output": "x"}, "no input fake_output"),
    "wrong type": ({"seed": "many"}, "seed takes integer"),
    "too small": ({"train_batch_size": 0}, "takes 1 at least"),
    "wrong word": ({"peft_method": "full"}, "takes lora, qlora"),
}


@pytest.mark.parametrize("case", CONSTANTS)
def test_constants_are_checked(case):
    """A misspelt constant would cost money and change nothing."""
    constants, message = CONSTANTS[case]
    problems = refused("llama-2023-10", constants=constants, facts=FACTS)

    assert message in problems[f"backend_options.replicate.constants.{next(iter(constants))}"]


def test_a_profile_is_of_one_trainer():
    """A newer version may mean something else by the same names."""
    good = Profile(versions=(HEX["modern"],), schema_sha256=fingerprint(SCHEMAS["modern"]))
    old, outdated = Profile(versions=("0" * 64,)), Profile(schema_sha256="0" * 64)

    assert planned("modern", profile=good)
    assert "not written for the version" in refused("modern", profile=old)["backend_options.replicate.profile"]
    assert "inputs have changed" in refused("modern", profile=outdated)["backend_options.replicate.profile"]


def test_a_profile_in_a_file(tmp_path):
    """It is a small YAML file; fields that no profile has are named."""
    path = tmp_path / "profile.yaml"
    path.write_text("data_format: text\nfacts: {model: org/base}\n")
    assert Profile(data_format="text", facts={"model": "org/base"}) == read_profile(str(path))

    path.write_text("data_format: csv\ncolour: red\n")
    with pytest.raises(ConfigError) as caught:
        read_profile(str(path))

    assert {"data_format", "colour"} == {problem.where for problem in caught.value.problems}


NEEDED = {
    "backend_options.replicate.destination": {"destination": None},
    "backend_options.replicate.hardware": {"create_destination": True},
    "backend_options.replicate.secrets.nope": {"secrets": {"nope": "HF_TOKEN"}},
    "backend_options.replicate.secrets.hf_token": {"secrets": {"hf_token": "NOT_SET"}},
    "backend_options.replicate.field_map": {"field_map": {"nope": "training.seed"}},
}


@pytest.mark.parametrize("option", NEEDED)
def test_options_are_checked(option):
    """A missing option, and an input that the trainer does not have, are refused."""
    assert option in refused("modern", **NEEDED[option])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["$ref", "allOf", "anyOf", "type",
        "enum", "default", "properties", "required", "minimum", "components", "schemas", "TrainingInput", "x"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["properties", "required", "type"]), JSON, max_size=3))
def test_any_schema_can_be_read(document):
    """A trainer's document is written by anybody: whatever is in it, inputs come out, or None."""
    inputs = read_inputs(document)

    assert inputs is None or all(isinstance(input_, TrainerInput) and input_.kinds for input_ in inputs.values())
    assert 64 == len(fingerprint(document))


SHAPES = {
    "plain": {"type": "integer", "minimum": 1},
    "referred": {"allOf": [{"$ref": "#/components/schemas/Count"}]},
    "or null": {"anyOf": [{"$ref": "#/components/schemas/Count"}, {"type": "null"}]},
    "two types": {"type": ["integer", "null"], "minimum": 1},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_to_declare_a_type(shape):
    """Older and newer builders write the same input in several ways."""
    schemas = {"Count": {"type": "integer", "minimum": 1}, "TrainingInput": {"properties": {"x": SHAPES[shape]}}}
    input_ = read_inputs({"components": {"schemas": schemas}})["x"]

    assert ("", "x takes integer", "x takes 1 at least") == tuple(map(input_.problem_with, (2, "2", 0)))


def test_references_in_a_circle():
    """A schema that refers to itself ends."""
    schemas = {"a": {"$ref": "#/components/schemas/a"}, "TrainingInput": {"properties": {"x": {"$ref": "#/a"}}}}

    assert {"x"} == set(read_inputs({"components": {"schemas": schemas}}))
