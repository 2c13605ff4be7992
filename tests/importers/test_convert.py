"""``ftsdk import``: which tool a file is for, and the note or the error for each key."""

import runpy
from pathlib import Path

import pytest

import ftsdk
from ftsdk.errors import ConfigError, InputError
from ftsdk.importers.convert import load_importer
from ftsdk.plugins import IMPORTERS, plugin_names
from ftsdk.spec.loader import dump_spec, load_spec

ROOT = Path(__file__).parents[2]
AXOLOTL = "base_model: org/base\nlearning_rate: 2e-4\ndatasets:\n  - path: rows.jsonl\n    type: chat_template\n"
FACTORY = "model_name_or_path: org/base\ndo_train: true\ndataset: chat\n"


@pytest.mark.parametrize(("text", "source"), [(AXOLOTL, "axolotl"), (FACTORY, "llamafactory")])
def test_the_keys_identify_the_tool(import_text, text, source):
    """A file's own keys name the tool, and the spec names the backend that runs it."""
    imported = import_text(text)

    assert (source, source) == (imported.source, imported.spec.backend)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: 2e-4\n", "no key that identifies"),
        ("base_model: org/base\nstage: sft\n", "base_model are axolotl's; stage are llamafactory's"),
    ],
)
def test_a_file_of_nobody_or_of_two(import_text, text, message):
    """Where the keys do not identify the tool, the error says how to name it."""
    with pytest.raises(ftsdk.SpecError, match=message) as caught:
        import_text(text)

    assert "--from" in caught.value.hint


def test_the_tool_can_be_named(import_text):
    """The tool that the caller names counts, also where it is wrong: then the keys are unknown."""
    with pytest.raises(ftsdk.SpecError, match="LLaMA-Factory"):
        import_text(AXOLOTL, source="llamafactory")


def test_an_unknown_tool(import_text):
    """The tools that can be read are listed."""
    with pytest.raises(
        InputError, match="no installed importer is named 'torchtune'; installed: axolotl, llamafactory"
    ):
        import_text(AXOLOTL, source="torchtune")


def test_two_packages_for_one_tool(monkeypatch):
    """Two importers of one name cannot be distinguished, so it is an error."""
    from importlib.metadata import EntryPoint

    twice = [EntryPoint("axolotl", f"{package}:Importer", IMPORTERS.name) for package in ("one", "two")]
    monkeypatch.setattr("ftsdk.plugins.entry_points", lambda **_: twice)

    with pytest.raises(ConfigError, match="one:Importer, two:Importer"):
        load_importer("axolotl")


def test_all_that_is_not_supported_comes_at_once(refusals):
    """One error names every key, each with its line."""
    problems = refusals(AXOLOTL + "deepspeed: zero3.json\nlora_modules_to_save: [lm_head]\nlerning_rate: 1e-4\n")

    assert {"deepspeed", "lora_modules_to_save", "lerning_rate"} == problems.keys()
    assert "(line 6)" in problems["deepspeed"]
    assert "did you mean learning_rate?" in problems["lerning_rate"]
    assert "in silence" in problems["lerning_rate"]


def test_a_key_with_the_default_gives_no_note(import_text):
    """A blank key, and one with the tool's default, give no note."""
    imported = import_text(
        AXOLOTL + "deepspeed:\ngroup_by_length: false\nshuffle_merged_datasets: true\nwandb_entity:\n"
    )

    assert [] == [note for note in imported.notes if note.key in ("deepspeed", "group_by_length", "wandb_entity")]


def test_a_field_that_is_set_replaces_a_key(import_text):
    """A field that the user sets replaces a key that is not supported, and the difference is noted."""
    imported = import_text(AXOLOTL + "saves_per_epoch: 1\n", "training.save_steps=50")

    assert 50 == imported.spec.training.save_steps
    assert [("saves_per_epoch", "differs")] == [note[:2] for note in imported.notes if "you set" in note.text]


def test_the_tool_s_defaults_are_reported(import_text):
    """Each value that the file leaves out is noted with the field that it went to."""
    notes = {note.key: note.text for note in import_text(FACTORY).notes if note.kind == "default"}

    assert "adapter.r: 8" == notes["lora_rank"]
    assert "training.learning_rate: 5e-05" == notes["learning_rate"]


def test_keys_without_effect_are_reported(import_text):
    """A key that belongs to what the file does not choose is dropped with a note."""
    imported = import_text(FACTORY + "finetuning_type: full\nlora_rank: 64\n")

    assert ["lora_rank"] == [note.key for note in imported.notes if note.text == "has no effect in this file"]


def test_a_value_that_no_spec_takes(refusals):
    """What the spec refuses is reported under the tool's key."""
    assert "learning_rate (training.learning_rate)" in refusals(AXOLOTL.replace("2e-4", "7"))


def test_the_spec_reads_itself_again(import_text, tmp_path):
    """What is written is a job spec like any other."""
    imported = import_text(FACTORY)
    (tmp_path / "job.yaml").write_text(dump_spec(imported.spec))

    assert imported.spec == load_spec(tmp_path / "job.yaml")


def test_broken_yaml_is_reported_by_its_line(import_text):
    """The error is that of the project's own reader of YAML."""
    with pytest.raises(ftsdk.SpecError, match="line 2"):
        import_text("base_model: a\n  b: c\n")


@pytest.mark.parametrize("name", plugin_names(IMPORTERS))
def test_importers_are_named_as_their_entry_points(name):
    """An importer's name is its entry point's, and its marks are keys of its own tables."""
    importer = load_importer(name)

    assert name == importer.name
    assert importer.marks <= importer.keys.mapped.keys()


def test_the_tables_come_from_the_importers():
    """The tables of docs/import.md are those that the script makes; run scripts/import_tables.py after a change."""
    script = runpy.run_path(str(ROOT / "scripts" / "import_tables.py"))
    page = script["PAGE"].read_text(encoding="utf-8")

    assert script["page"](page) == page
