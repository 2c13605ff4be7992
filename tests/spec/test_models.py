"""The models refuse invalid values and contradictions, and resolve what was left blank."""

import inspect
import json
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from ftsdk import DPO, Dataset, JobSpec, LoRA, Training
from ftsdk.errors import SpecError
from ftsdk.spec.job import LEARNING_RATES

LEAST = {"model": "m", "dataset": "d.jsonl"}


def problems(**fields):
    with pytest.raises(SpecError) as caught:
        JobSpec(**LEAST, **fields)
    return {problem.where for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"adapter": None, "compute": {"quantization": "nf4"}}, "compute.quantization"),
        ({"eval_dataset": "e.jsonl", "val_size": 0.1}, "val_size"),
        ({"val_size": 1.5}, "val_size"),
        ({"training": {"early_stopping_patience": 3}}, "training.early_stopping_patience"),
        ({"training": {"eval_steps": 5}}, "training.eval_steps"),
        ({"training": {"num_train_epochs": 1, "max_steps": 5}}, "training.max_steps"),
        ({"training": {"warmup_ratio": 0.1, "warmup_steps": 5}}, "training.warmup_steps"),
        (
            {"training": {"global_batch_size": 2}, "compute": {"per_device_train_batch_size": 4}},
            "compute.per_device_train_batch_size",
        ),
        ({"push_to_hub": True}, "push_to_hub"),
        ({"hub_model_id": "org/name"}, "hub_model_id"),
        ({"metadata": {"note": "hf_" + "a" * 30}}, "metadata"),
        ({"adapter": {"r": True}}, "adapter.r"),
        ({"training": {"max_steps": 10**30}}, "training.max_steps"),
        ({"compute": {"memory_limit": "9" * 400 + "GB"}}, "compute.memory_limit"),
        ({"backend_options": {"x": {"y": float("nan")}}}, "backend_options.x.y"),
    ],
)
def test_a_contradiction_names_its_field(fields, where):
    """Fields that contradict each other, secrets and invalid numbers are refused, with the field."""
    assert {where} == problems(**fields)


def test_all_contradictions_are_reported_at_once():
    """One error lists every contradiction, not the first only."""
    expected = {"training.eval_steps", "push_to_hub", "metadata"}

    assert expected == problems(training={"eval_steps": 5}, push_to_hub=True, metadata={"a": "hf_" + "a" * 30})


@pytest.mark.parametrize("dataset", ["", [], [""], {"path": ""}, {"path": []}])
def test_a_dataset_has_a_path(dataset):
    """An empty path is not a dataset."""
    with pytest.raises(SpecError):
        JobSpec(model="m", dataset=dataset)


@pytest.mark.parametrize(
    ("section", "fields", "problem"),
    [
        (Training, {"max_step": 3}, "max_step: there is no such field here -> did you mean max_steps?"),
        (
            JobSpec,
            {**LEAST, "training": {"learing_rate": 1}},
            "training.learing_rate: there is no such field here -> did you mean learning_rate?",
        ),
        (JobSpec, {**LEAST, "adapter": {"rank": 1}}, "adapter.rank: there is no such field here"),
        (
            JobSpec,
            {**LEAST, "metadata": {"a": "\ud83d"}},
            (
                "metadata: contains a lone surrogate (half a character), which no file can hold"
                " -> remove it, or read its source as UTF-8"
            ),
        ),
        (Dataset, {}, "path: is required"),
        (DPO, {"beta": -1}, "beta: must be above 0.0"),
    ],
)
def test_a_section_that_is_built_in_python_fails_as_a_file_does(section, fields, problem):
    """With ftsdk's own error: the field, the cause, and the next step."""
    with pytest.raises(SpecError) as caught:
        section(**fields)

    assert [problem] == [str(entry) for entry in caught.value.problems]


def test_what_was_refused_is_not_repeated():
    """A value may be a secret in the wrong place: neither the error nor its context has it."""
    with pytest.raises(SpecError) as caught:
        JobSpec(**LEAST, training={"learning_rate": "hf_" + "a" * 30})

    assert ({"training.learning_rate"}, None) == ({p.where for p in caught.value.problems}, caught.value.__context__)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"training": {"max_steps": 3, "warmup_steps": 1}},
        {"method": {"type": "ppo", "reward": "r"}, "adapter": None},
    ],
)
def test_a_spec_that_was_written_in_full_is_read_again(fields):
    """Pydantic's own writing and reading give the same spec: a database or a queue may keep it so."""
    spec = JobSpec(**LEAST, **fields)

    assert spec == JobSpec.model_validate_json(spec.model_dump_json()) == JobSpec(**spec.model_dump())


def test_paths_are_taken_as_such():
    """A path of pathlib need not be made text first."""
    assert JobSpec(model="a/b", dataset="c.jsonl") == JobSpec(model=Path("a/b"), dataset=Path("c.jsonl"))


def test_validation_stays_pydantic_s():
    """A model or a web framework that holds a spec gets the error that it expects, with the types of nested ones."""
    fields = {
        "model": "m",
        "dataset": {"path": "d"},
        "training": {"max_steps": 0},
        "method": {"type": "dpo", "beta": -1},
    }
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(fields)

    assert [(error["type"], error["loc"]) for error in caught.value.errors()] == [
        ("greater_than", ("method", "dpo", "beta")),
        ("greater_than_equal", ("training", "max_steps")),
    ]


def test_a_spec_survives_copies_and_processes():
    """A copy and a pickled spec are equal to it, and know which fields the user set."""
    spec = JobSpec(**LEAST, adapter={"r": 4})
    copies = [spec.model_copy(), spec.model_copy(deep=True), pickle.loads(pickle.dumps(spec))]

    assert [(spec, spec.as_written())] * 3 == [(copy, copy.as_written()) for copy in copies]


def test_a_section_is_called_with_keywords_only():
    """A section names its fields in its signature, and takes none by position."""
    assert ["path", "split"] == list(inspect.signature(Dataset).parameters)[:2]
    with pytest.raises(TypeError):
        Dataset("d.jsonl")


@pytest.mark.parametrize("method", sorted(set(LEARNING_RATES) - {"ppo", "grpo"}))
def test_a_blank_learning_rate_is_resolved(method):
    """Each method has its own learning rate, and a tenth of it where every weight trains."""
    with_adapter = JobSpec(**LEAST, method=method)
    without = JobSpec(**LEAST, method=method, adapter=None)

    assert (LEARNING_RATES[method], LEARNING_RATES[method] / 10) == (with_adapter.learning_rate, without.learning_rate)


def test_a_resolved_field_is_not_set_by_the_user():
    """What ftsdk filled in is not written as if the user had set it."""
    spec = JobSpec(**LEAST, training=Training(max_steps=3))

    assert {"max_steps": 3} == spec.as_written()["training"]


def test_one_section_serves_many_specs():
    """A spec resolves its own copy of a section and does not change the user's."""
    training = Training()
    JobSpec(**LEAST, method=DPO(), training=training)

    assert None is training.learning_rate


def test_alpha_follows_the_rank():
    """A blank alpha is twice the rank."""
    assert (64.0, 5.0) == (LoRA(r=32).alpha, LoRA(r=32, alpha=5).alpha)


@pytest.mark.parametrize(
    ("written", "read"),
    [("24GiB", 24 * 2**30), ("800 MB", 800 * 10**6), ("1.5GiB", 3 * 2**29), (1024, 1024)],
)
def test_memory_has_units(written, read):
    """An amount of memory is written with its unit, or in bytes."""
    assert read == JobSpec(**LEAST, compute={"memory_limit": written}).compute.memory_limit


@pytest.mark.parametrize(("written", "read"), [("90m", 5400), ("12h", 43200), ("1d", 86400), ("30", 30), (30, 30)])
def test_time_has_units(written, read):
    """A time is written with its unit, or in seconds."""
    assert read == JobSpec(**LEAST, compute={"timeout": written}).compute.timeout


def test_a_spec_is_json():
    """A spec becomes JSON and comes back equal, in full as well as in short."""
    spec = JobSpec(**LEAST, method={"type": "ppo", "reward": "r"}, adapter=None, training={"learning_rate": 1e-5})

    assert spec == JobSpec.model_validate(json.loads(json.dumps(spec.as_written())))
