"""What a step starts from: a folder, or a model in the Hub's cache, pinned."""

import shutil

import pytest

import ftsdk
from ftsdk.errors import ArtifactError, UnreachableError
from ftsdk.posttrain.base_model import base_of
from ftsdk.posttrain.source_model import origin_of

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
    named = config.replace(str(tmp_path / "base"), "org/tiny").replace('"revision": null', f'"revision": "{COMMIT}"')
    (tuned / "adapter_config.json").write_text(named)

    made = ftsdk.merge(tuned, tmp_path / "out")

    assert ("org/tiny", COMMIT) == (made.manifest.plan["base"]["name"], made.manifest.plan["base"]["revision"])
    assert ("org/tiny", COMMIT) == (made.base_model, made.manifest.base_model_revision)


def test_a_hub_model_is_quantized_by_its_id(cached, tmp_path):
    """The id of a Hub model stands for it, and the manifest tells the commit."""
    made = ftsdk.quantize("org/tiny", "int8", tmp_path / "out")

    assert ("org/tiny", COMMIT) == (made.base_model, made.manifest.base_model_revision)


def test_what_is_nowhere_is_told(cached):
    """A name that is no folder is looked for on the Hub; both are told. A path is not."""
    with pytest.raises(UnreachableError, match=r"there is no folder org/other here, and HF_HUB_OFFLINE"):
        origin_of("org/other")
    with pytest.raises(ArtifactError, match="there is no folder"):
        origin_of("./nowhere/at/all")


def test_a_folder_without_a_model_is_told(tmp_path):
    """A folder that holds something else is no model."""
    with pytest.raises(ArtifactError, match=r"there is no config\.json"):
        origin_of(tmp_path)


def test_another_systems_word_for_the_model_is_no_setting(base, adapter):
    """In the manifest of a hosted job, ``model`` is a name; the base is then the manifest's."""
    from ftsdk.artifact import Manifest, seal

    ground = base()
    tuned = adapter(ground)
    seal(tuned, Manifest(kind="adapter", base_model="org/tiny", method="sft", plan={"model": "another/name"}))

    assert "org/tiny" == base_of(tuned).name
