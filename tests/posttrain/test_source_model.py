"""The source of a step: a folder, or a model in the Hub's cache at a commit."""

import shutil

import pytest

import ftsdk
from ftsdk.errors import ArtifactError, UnreachableError
from ftsdk.posttrain.base_model import base_of
from ftsdk.posttrain.source_model import open_source_model

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@pytest.fixture
def cached(tiny_model, tmp_path, monkeypatch):
    """The Hub's cache with the tiny model as org/tiny, as its client lays it out."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--org--tiny"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for path in tiny_model.iterdir():
        if path.name != "ftsdk.json":
            shutil.copyfile(path, snapshot / path.name)
    return snapshot


def test_a_hub_base_is_taken_at_its_commit(cached, adapter, base, tmp_path):
    """An adapter on a Hub model is merged offline from the cache, at the commit that it names, which is noted."""
    tuned = adapter(base())
    config = (tuned / "adapter_config.json").read_text()
    hub_config = config.replace(str(tmp_path / "base"), "org/tiny").replace(
        '"revision": null', f'"revision": "{COMMIT}"'
    )
    (tuned / "adapter_config.json").write_text(hub_config)

    merged = ftsdk.merge(tuned, tmp_path / "out")

    assert ("org/tiny", COMMIT) == (merged.manifest.plan["base"]["name"], merged.manifest.plan["base"]["revision"])
    assert ("org/tiny", COMMIT) == (merged.base_model, merged.manifest.base_model_revision)


def test_a_hub_model_is_quantized_by_its_id(cached, tmp_path):
    """The id of a Hub model stands for it, and the manifest records the commit."""
    quantized = ftsdk.quantize("org/tiny", "int8", tmp_path / "out")

    assert ("org/tiny", COMMIT) == (quantized.base_model, quantized.manifest.base_model_revision)


def test_a_missing_model_is_reported(cached):
    """A name that is no folder is looked up on the Hub, and the error names both; a path is not looked up."""
    with pytest.raises(UnreachableError, match=r"there is no folder org/other here, and HF_HUB_OFFLINE"):
        open_source_model("org/other")
    with pytest.raises(ArtifactError, match="there is no folder"):
        open_source_model("./nowhere/at/all")


def test_a_folder_without_a_model_is_refused(tmp_path):
    """A folder that holds something else is no model."""
    with pytest.raises(ArtifactError, match=r"there is no config\.json"):
        open_source_model(tmp_path)


def test_another_systems_model_field_is_no_setting(base, adapter):
    """In the manifest of a hosted job, ``model`` is a name; the base is then the manifest's."""
    from ftsdk.artifact import Manifest, seal

    base_folder = base()
    tuned = adapter(base_folder)
    seal(tuned, Manifest(kind="adapter", base_model="org/tiny", method="sft", plan={"model": "another/name"}))

    assert "org/tiny" == base_of(tuned).name
