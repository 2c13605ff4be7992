"""The folder that an engine writes into."""

import json
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from ftsdk.engines.output import drop_torn_checkpoints, finish
from ftsdk.engines.runner_support import RunnerError

STATES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


@pytest.fixture
def output(tmp_path):
    """Three whole checkpoints."""
    for step in (5, 10, 100):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        save_file({"weight": torch.ones(2)}, folder / "adapter_model.safetensors")
        (folder / "trainer_state.json").write_text("{}")
        for name in STATES:
            with zipfile.ZipFile(folder / name, "w") as file:
                file.writestr("data", "1")
    return tmp_path / "out"


def left(output):
    return sorted(path.name for path in output.glob("*"))


def test_the_newest_by_its_number(output):
    """100 comes after 5, whatever the alphabetical order."""
    assert output / "checkpoint-100" == drop_torn_checkpoints(output)


@pytest.mark.parametrize("name", [*STATES, "adapter_model.safetensors", "trainer_state.json"])
def test_torn_ones_go(output, name):
    """Whatever of it is half written, a checkpoint is not gone on from."""
    torn = output / "checkpoint-100" / name
    torn.write_bytes(torn.read_bytes()[:-1] if name != "trainer_state.json" else b"{")

    assert output / "checkpoint-10" == drop_torn_checkpoints(output)
    assert ["checkpoint-10", "checkpoint-5"] == left(output)


@pytest.mark.parametrize("name", [*STATES, "adapter_model.safetensors"])
def test_one_without_a_part_goes(output, name):
    """A killed run may not have come to it."""
    (output / "checkpoint-100" / name).unlink()

    assert output / "checkpoint-10" == drop_torn_checkpoints(output)


def test_a_folder_without_a_checkpoint_is_removed(output):
    """Engines refuse a folder that is not empty and has no checkpoint: it goes."""
    for folder in output.iterdir():
        (folder / "optimizer.pt").unlink()

    assert (None, False) == (drop_torn_checkpoints(output), output.exists())


def test_no_weights_are_a_failure(tmp_path):
    """An engine that ends well without weights has not trained; the reason is in its log."""
    with pytest.raises(RunnerError) as caught:
        finish({"output": str(tmp_path), "adapter": True, "model": "org/base", "model_revision": None}, None)

    assert "" == caught.value.kind


def test_the_base_keeps_its_name(output):
    """An adapter names the base as the spec does, at its commit, and not the folder that the engine saw."""

    class Tokenizer:
        def save_pretrained(self, folder):
            (folder / "tokenizer.json").write_text("{}")

    folder = output / "checkpoint-5"
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/else/where", "r": 8}')
    (folder / "training_args.bin").write_bytes(b"a pickle")
    request = {"output": str(folder), "adapter": True, "model": "org/base", "model_revision": "abc123"}
    finish(request, Tokenizer())
    settings = json.loads((folder / "adapter_config.json").read_text())

    assert {"base_model_name_or_path": "org/base", "r": 8, "revision": "abc123"} == settings
    assert (folder / "tokenizer.json").is_file()
    assert not (folder / "training_args.bin").exists()
