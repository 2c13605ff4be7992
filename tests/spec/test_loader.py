"""A spec is loaded from a file or a mapping, and every mistake in it is reported with its place."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from ftsdk.errors import SpecError
from ftsdk.spec.loader import load_spec, read_spec

LEAST = {"model": "m", "dataset": "d.jsonl"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def problems(source, overrides=()):
    with pytest.raises(SpecError) as caught:
        load_spec(source, overrides)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.yaml", "model: m\ndataset: d.jsonl\ntraining:\n  learning_rate: 2e-4\n"),
        ("job.yml", "\ufeffmodel: m\r\ndataset: [d.jsonl]\r\nlr: 2e-4\r\n"),
        ("job.toml", 'model = "m"\ndataset = "d.jsonl"\n[training]\nlearning_rate = 2e-4\n'),
        ("job.JSON", '{"model": "m", "dataset": {"path": "d.jsonl"}, "training": {"learning_rate": 2e-4}}'),
    ],
)
def test_three_kinds_of_files_give_the_same_spec(write, name, text):
    """YAML, TOML and JSON give the same spec; ``2e-4`` is a number in each; a path is kept as it was written."""
    spec = load_spec(str(write(name, text)))

    assert ("m", ("d.jsonl",), 2e-4) == (spec.model, spec.dataset.paths, spec.learning_rate)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("job.txt", "model: m", "this suffix is not that of a supported format"),
        ("job.yaml", "", "is empty"),
        ("job.yaml", " \n", "is empty"),
        ("job.yaml", "- a", "has no keys and values"),
        ("job.json", "3", "has no keys and values"),
        ("job.yaml", b"model: m\n\xff\xfe", "is not UTF-8 text, see line 2"),
        ("job.yaml", "model: m".encode("utf-16"), "is not UTF-8 text, see line 1"),
        ("job.toml", "#" * 2**20 + "#", "is longer than 1 MiB"),
        ("job.yaml", "a: 1\nb: [", "is not valid YAML, line 2"),
        ("job.toml", "a = 1\nb = x", "is not valid TOML, line 2, column 5: Invalid value"),
        ("job.toml", "a = 1\na = 2\n", "is not valid TOML, line 2, column 6: Cannot overwrite a value"),
        ("job.json", '{\n"a": }', "is not valid JSON, line 2, column 6: Expecting value"),
        ("job.json", '{"a": 1, "a": 2}', "has a twice in one section"),
        ("job.json", '{"a": NaN}', "is not valid JSON: NaN is no number"),
        ("job.json", "[" * 100_000, "nested too deep"),
        ("job.toml", "a = " + "[" * 100_000, "nested too deep"),
        ("job.json", '{"a": ' + "9" * 5000 + "}", "a number is too long"),
        ("job.toml", "a = " + "9" * 5000, "is not valid TOML"),
    ],
)
def test_a_broken_file_is_reported_with_its_place(write, name, content, message):
    """A file that is not a document is refused with its name and, where there is one, the line."""
    path = write(name, content)
    with pytest.raises(SpecError) as caught:
        load_spec(path)

    assert (True, True) == (str(caught.value).startswith(str(path)), message in str(caught.value))


@pytest.mark.parametrize("path", ["missing.yaml", ".", "x\0.yaml", "a" * 5000 + ".yaml", "model: m\ndataset: d.yaml"])
def test_what_is_no_file_is_a_spec_error(path):
    """A missing file, a folder and a text that is not a path are refused like any other mistake."""
    with pytest.raises(SpecError):
        load_spec(path)


def test_what_is_no_source_is_a_spec_error():
    """Only a file or a mapping can be loaded."""
    with pytest.raises(SpecError, match="not from list"):
        load_spec([])


def test_all_mistakes_are_reported_at_once(write):
    """One error lists every problem by field, with its line and the name that was written."""
    text = "model: m\ndataset: d\nlr: fast\ntraining:\n  packing: maybe\n  ephocs: 1\nmethod: {type: dpo, beta: -1}\n"

    assert problems(write("job.yaml", text)) == [
        "training.ephocs: there is no such field (line 6) -> did you mean epochs, that is training.num_train_epochs?",
        "method.beta: must be above 0.0 (line 7)",
        "training.learning_rate: expected a number (line 3, written as lr)",
        "training.packing: expected true or false (line 5)",
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"model": None}, "model: expected text -> put it in quotes if it is meant as text"),
        ({"dataset": None}, "dataset: expected a section of keys and values"),
        ({"dataset": {"path": 5}}, "dataset.path: expected text, or a list"),
        ({"method": "dpx"}, "method: expected 'sft', 'dpo', 'kto', 'orpo', 'reward_modeling', 'ppo', 'grpo'"),
        (
            {"beta": 0.1},
            "method.beta: there is no such field here -> it belongs to the method dpo or kto or orpo or grpo",
        ),
        ({"adapter": "loar"}, "adapter: expected lora, qlora, full, none"),
        ({"adapter": {"target_modules": 5}}, "adapter.target_modules: expected 'all-linear', or a list"),
        ({"training": []}, "training: expected a section of keys and values"),
        ({"training": {"max_steps": 1.5}}, "training.max_steps: expected a whole number"),
        ({"metadata": {"run": 3}}, "metadata.run: expected text -> put it in quotes if it is meant as text"),
        ({"name": "../x"}, "name: expected text of the form ^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"),
        ({3: 4}, "a key of type int, but keys are text"),
    ],
)
def test_a_mistake_is_reported_in_plain_words(fields, problem):
    """The message says what is wrong without terms of Python, and what to write."""
    assert [problem] == problems(LEAST | fields)


def test_a_missing_field_is_named():
    """A required field that is missing is named."""
    assert ["model: is required", "dataset: is required"] == problems({})


@pytest.mark.parametrize(
    ("override", "written"),
    [
        ("training.learning_rate=1e-4", {"learning_rate": 1e-4}),
        ("lr=1e-4", {"learning_rate": 1e-4}),
        ("training.max_steps=7", {"learning_rate": 0.1, "max_steps": 7}),
        ({"training.lr": 1e-4}, {"learning_rate": 1e-4}),
        ({"training": {"lr": 1e-4}}, {"learning_rate": 1e-4}),
    ],
)
def test_an_override_wins(override, written):
    """An override wins over the source in any spelling, and also over the other field for the same quantity."""
    overrides = override if isinstance(override, dict) else [override]
    source = LEAST | {"training": {"learning_rate": 0.1, "num_train_epochs": 2}}
    expected = written if "max_steps" in written else {"num_train_epochs": 2.0, **written}

    assert expected == load_spec(source, overrides).as_written()["training"]


def test_the_last_override_wins():
    """Of two overrides for one field, the later one counts."""
    assert 2e-4 == load_spec(LEAST, ["lr=1e-4", "training.learning_rate=2e-4"]).learning_rate


@pytest.mark.parametrize(
    ("source", "override", "written"),
    [
        ({"adapter": {"r": 8}}, "adapter=none", {"adapter": None}),
        ({"adapter": None}, "adapter.r=8", {"adapter": {"r": 8}}),
        ({"adapter": {"r": 8}}, "adapter.alpha=8", {"adapter": {"r": 8, "alpha": 8.0}}),
        ({"method": {"type": "sft", "train_on": "all"}}, "method=dpo", {"method": {"type": "dpo"}}),
        ({"val_size": 0.1}, "eval_dataset=e.jsonl", {"eval_dataset": {"path": "e.jsonl"}}),
        ({"eval_dataset": "e.jsonl"}, "val_size=0.1", {"val_size": 0.1}),
        ({}, "adapter.target_modules=[q_proj, v_proj]", {"adapter": {"target_modules": ["q_proj", "v_proj"]}}),
        ({}, "metadata.team=blue", {"metadata": {"team": "blue"}}),
        (
            {"backend_options": {"a": {"x": 1, "y": 2}}},
            "backend_options.a.x=3",
            {"backend_options": {"a": {"x": 3, "y": 2}}},
        ),
    ],
)
def test_an_override_replaces_what_it_contradicts(source, override, written):
    """An override removes what contradicts it, and keeps the rest of its section."""
    spec = load_spec(LEAST | source, [override])

    assert {"model": "m", "dataset": {"path": "d.jsonl"}} | written == spec.as_written()


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("training.max_steps", "this override has no value"),
        ("zzz=1", "there is no such field"),
        ("training.zzz=1", "there is no such field"),
        ("trainig.lr=1", "there is no such field"),
        ("=1", "there is no such field"),
        ("lr=[1", "the value is not valid YAML"),
        ("lr=abc", "expected a number"),
    ],
)
def test_a_wrong_override_is_reported(override, problem):
    """An override that cannot be understood is refused like a line of the file."""
    assert [True] == [problem in message for message in problems(LEAST, [override])]


def test_what_was_read_is_reported():
    """The spec comes with a note for each name of another tool, overrides included."""
    assert ["lr -> training.learning_rate"] == read_spec(LEAST, ["lr=1e-4"]).notes


def test_a_mapping_in_itself_is_refused():
    """A mapping that holds itself ends in an error, not in an endless search."""
    source = dict(LEAST)
    source["backend_options"] = {"x": source}

    assert [] != problems(source)


def test_an_error_survives_pickling():
    """A spec error crosses processes with all its problems."""
    with pytest.raises(SpecError) as caught:
        load_spec({})

    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))


def test_a_default_that_follows_is_no_second_mistake():
    """A bad rank is one mistake: the alpha that would follow from it was never written."""
    with pytest.raises(SpecError) as caught:
        load_spec({"model": "org/model", "dataset": "rows.jsonl", "adapter": {"r": 0}})

    assert [problem.where for problem in caught.value.problems] == ["adapter.r"]


def test_a_wrong_override_is_not_blamed_on_a_line(tmp_path):
    """The file is valid; the override of its value is not."""
    path = tmp_path / "job.yaml"
    path.write_text("model: m\ndataset: d.jsonl\ntraining:\n  learning_rate: 1.0e-4\n")
    with pytest.raises(SpecError) as caught:
        load_spec(path, ["training.learning_rate=2"])

    assert "(as it was overridden)" in caught.value.problems[0].what
