"""An artifact is complete and harmless, or it is refused; its folder is filled atomically, or not at all."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftsdk.artifact import MANIFEST, Artifact, Manifest, artifact, place, placement, seal
from ftsdk.errors import ArtifactError, InputError, MissingExtra
from ftsdk.testing.weights import safetensors


def make(folder: Path, body: str = "hello") -> Artifact:
    """A small sealed adapter; ``body`` distinguishes it from others."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}', encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(safetensors({"lora_A": (2, 2)}))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "notes.txt").write_text(body, encoding="utf-8")
    return seal(folder, Manifest(kind="adapter", base_model="org/base", method="sft", job="fake:ft-1"))


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return make(tmp_path / "sealed").path


# seal and verify


def test_a_sealed_folder_opens(sealed: Path) -> None:
    """A sealed folder can be opened, and its manifest records its origin."""
    opened = Artifact.open(sealed)

    assert ("adapter", "org/base") == (opened.kind, opened.base_model)
    assert ["adapter_config.json", "adapter_model.safetensors", "checkpoints/notes.txt"] == sorted(
        opened.manifest.files
    )


def test_harmless_additions_are_ignored(sealed: Path) -> None:
    """Your own notes beside an artifact do not spoil it."""
    (sealed / "my notes (2).txt").write_text("nice run", encoding="utf-8")

    Artifact.open(sealed).verify()


def _rewrite_manifest(folder: Path, **changes: object) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**fields, **changes}))


NO_FILE = {"size": 0, "sha256": "0" * 64}
DAMAGE = {
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "is no artifact"),
    "half a manifest": (lambda f: os.truncate(f / MANIFEST, 40), "the whole file"),
    "binary manifest": (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe\x00"), "the whole file"),
    "newer format": (lambda f: _rewrite_manifest(f, format=2), "format: "),
    "unknown field": (lambda f: _rewrite_manifest(f, extra=1), "extra: "),
    "leaves the folder": (lambda f: _rewrite_manifest(f, files={"../x": NO_FILE}), "files"),
    "absolute": (lambda f: _rewrite_manifest(f, files={"/etc/passwd": NO_FILE}), "files"),
    "hides a step up": (lambda f: _rewrite_manifest(f, files={"a/../../x": NO_FILE}), "files"),
    "ends in a newline": (lambda f: _rewrite_manifest(f, files={"x\n": NO_FILE}), "files"),
    "no weights": (lambda f: _rewrite_manifest(f, files={}), "is missing"),
    "missing file": (lambda f: (f / "adapter_config.json").unlink(), "is missing"),
    "changed byte": (lambda f: (f / "checkpoints/notes.txt").write_text("hellO"), "has changed"),
    "longer file": (lambda f: (f / "checkpoints/notes.txt").write_text("hello!"), "has changed"),
    "pickle": (lambda f: (f / "training_args.bin").write_bytes(b"\x80\x04."), "may run code"),
    "deep pickle": (lambda f: (f / "checkpoints" / "optimizer.PT").write_bytes(b""), "may run code"),
    "link": (lambda f: (f / "passwords").symlink_to("/etc/passwd"), "is a link"),
    "linked folder": (lambda f: (f / "more").symlink_to("/etc"), "is a link"),
    "pipe": (lambda f: os.mkfifo(f / "pipe"), "no plain file"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(damage: str, sealed: Path) -> None:
    """A file that is missing, changed, dangerous or misnamed is refused, with its name."""
    change, message = DAMAGE[damage]
    change(sealed)

    with pytest.raises(ArtifactError, match=message):
        Artifact.open(sealed)


def test_weights_must_be_sound(sealed: Path) -> None:
    """A sealed file of weights that is cut off is refused, even where its hash agrees."""
    os.truncate(sealed / "adapter_model.safetensors", 30)

    with pytest.raises(ArtifactError, match="no sound safetensors"):
        seal(sealed, Manifest(kind="adapter", base_model="b", method="sft"))


def test_odd_names_are_not_sealed(sealed: Path) -> None:
    """A name that would surprise a shell never gets into an artifact."""
    (sealed / "a b.txt").write_text("", encoding="utf-8")

    with pytest.raises(ArtifactError, match=r"a b\.txt"):
        seal(sealed, Manifest(kind="adapter", base_model="b", method="sft"))


# place


def test_places_a_copy(sealed: Path, tmp_path: Path) -> None:
    """An artifact is copied completely to a new folder, and nothing is left beside it."""
    placed = place(sealed, tmp_path / "new" / "out")

    assert placed == Artifact.open(tmp_path / "new" / "out")
    assert [tmp_path / "new" / "out"] == list((tmp_path / "new").iterdir())


def test_places_what_a_function_makes(tmp_path: Path) -> None:
    """A function fills an empty folder, which then stands at the target."""
    assert tmp_path / "out" == place(lambda folder: make(folder / ".") and None, tmp_path / "out").path


def test_the_same_again_changes_nothing(sealed: Path, tmp_path: Path) -> None:
    """Placed twice, the artifact that is there stays."""
    place(sealed, tmp_path / "out")
    before = (tmp_path / "out" / MANIFEST).stat().st_ino
    place(sealed, tmp_path / "out")

    assert before == (tmp_path / "out" / MANIFEST).stat().st_ino


def test_an_empty_folder_is_taken(sealed: Path, tmp_path: Path) -> None:
    """A folder that was made for it beforehand is used."""
    (tmp_path / "out").mkdir()

    assert tmp_path / "out" == place(sealed, tmp_path / "out").path


@pytest.mark.parametrize("occupant", ["file", "folder", "artifact", "damaged"])
def test_what_is_there_is_spared(occupant: str, sealed: Path, tmp_path: Path) -> None:
    """A file, a full folder, another artifact and a damaged one are refused, and stay as they were."""
    out = tmp_path / "out"
    if occupant == "file":
        out.write_text("mine", encoding="utf-8")
    elif occupant == "folder":
        (out / "mine").mkdir(parents=True)
    else:
        make(out, "another")
        (out / "checkpoints" / "notes.txt").write_text("x", encoding="utf-8") if occupant == "damaged" else None
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ArtifactError) as error:
        place(sealed, out)
    assert error.value.hint
    assert before == sorted(tmp_path.rglob("*"))


def test_the_working_folder_is_not_replaced(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that a shell stands in is not pulled away under it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    with pytest.raises(ArtifactError, match="folder you work in"):
        place(sealed, Path())


def test_a_file_is_no_place(sealed, tmp_path):
    """A file at the target is an error, and is kept."""
    (tmp_path / "out").write_text("mine")

    with pytest.raises(ArtifactError, match="out is a file"):
        place(sealed, tmp_path / "out")
    assert "mine" == (tmp_path / "out").read_text()


def test_a_damaged_artifact_is_not_placed(sealed: Path, tmp_path: Path) -> None:
    """An artifact that changed after it was sealed does not arrive."""
    (sealed / "checkpoints" / "notes.txt").write_text("hellO", encoding="utf-8")

    with pytest.raises(ArtifactError, match="has changed"):
        place(sealed, tmp_path / "out")
    assert [sealed] == list(tmp_path.iterdir())


def test_a_link_is_not_followed(sealed: Path, tmp_path: Path) -> None:
    """A sealed file that was exchanged for a link to the same bytes is refused."""
    shutil.move(sealed / "adapter_config.json", tmp_path / "elsewhere.json")
    (sealed / "adapter_config.json").symlink_to(tmp_path / "elsewhere.json")

    with pytest.raises(ArtifactError, match="is a link"):
        place(sealed, tmp_path / "out")


@pytest.mark.parametrize("when", ["copy", "sync"])
def test_a_full_disk_leaves_nothing(when: str, sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is reported, and neither the target nor anything beside it is left."""

    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((shutil, "copyfile") if when == "copy" else (placement, "_sync")), full)

    with pytest.raises(ArtifactError, match="No space left") as error:
        place(sealed, tmp_path / "out")
    assert "free some disk space" in error.value.hint
    assert [sealed] == list(tmp_path.iterdir())


def test_a_folder_without_rights_is_named(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only folder gives an error that names the target and the next step."""

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)

    with pytest.raises(ArtifactError, match="out: Permission denied"):
        place(sealed, tmp_path / "out")


KILLED = """
import os, signal, sys
from pathlib import Path
from ftsdk.artifact import place

def fill(folder):
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

place(fill, Path(sys.argv[1]))
"""


def test_a_killed_run_is_cleared_away(sealed: Path, tmp_path: Path) -> None:
    """What a killed call leaves is beside the target, never in it, and the next call removes it."""
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(out)], check=False)

    assert -signal.SIGKILL == killed.returncode
    assert not out.exists()
    place(sealed, out)
    assert {sealed, out} == set(tmp_path.iterdir())


def test_many_at_once_place_one(sealed: Path, tmp_path: Path) -> None:
    """Of many calls with one target, each gets the same artifact, and nothing is left beside it."""
    code = "import sys; from pathlib import Path; from ftsdk.artifact import place; place(*map(Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(sealed), str(tmp_path / "out")]
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: subprocess.run(command, check=False).returncode, range(8)))

    assert [0] * 8 == ended
    assert {sealed, tmp_path / "out"} == set(tmp_path.iterdir())


def test_a_lock_folder_that_another_call_removes(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that finds another's lock folder, which is removed a moment later, creates it again."""
    mkdir = os.mkdir
    errors = iter([FileExistsError(errno.EEXIST, "File exists")])

    def fleeting(path: Path, *rest: int) -> None:
        if Path(path).name == ".out.partial":
            for error in errors:
                raise error
        mkdir(path, *rest)

    monkeypatch.setattr(os, "mkdir", fleeting)

    assert tmp_path / "out" == place(sealed, tmp_path / "out").path


# generate


class Loader:
    """Stands in for the step ``load``, and counts how often it loads."""

    def __init__(self) -> None:
        self.loads = 0

    value = "package:load"

    def load(self):
        return self

    def __call__(self, folder: Path):
        self.loads += 1
        return self

    def generate(self, prompts, *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        return [f"{prompt}:{max_new_tokens}:{temperature}:{seed}" for prompt in prompts]


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> Loader:
    artifact._load.cache_clear()
    loader = Loader()
    monkeypatch.setattr("ftsdk.plugins.entry_points", lambda **_: [loader])
    return loader


def test_generates_an_answer_for_each_prompt(sealed: Path, loader: Loader) -> None:
    """Prompts and settings reach the model, and the answers come back in order."""
    answers = Artifact.open(sealed).generate(["a", "b"], max_new_tokens=3, temperature=0.5, seed=1)

    assert ["a:3:0.5:1", "b:3:0.5:1"] == answers


def test_loads_once(sealed: Path, loader: Loader) -> None:
    """The model that was loaded last is kept, until another artifact stands in its place."""
    opened = Artifact.open(sealed)
    opened.generate(["a"])
    opened.generate(["b"])
    assert 1 == loader.loads

    shutil.rmtree(sealed)
    make(sealed, "another").generate(["c"])
    assert 2 == loader.loads


def test_a_damaged_artifact_is_not_loaded(sealed: Path, loader: Loader) -> None:
    """Nothing is loaded from a folder that does not verify."""
    opened = Artifact.open(sealed)
    (sealed / "x.pkl").write_bytes(b"")

    with pytest.raises(ArtifactError, match=r"x\.pkl"):
        opened.generate(["a"])
    assert 0 == loader.loads


def test_a_missing_extra_names_what_to_install(sealed: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages that run a model, the error names the pip command."""

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(loader, "load", missing)

    with pytest.raises(MissingExtra, match="torch") as error:
        Artifact.open(sealed).generate(["a"])
    assert "pip install 'ftsdk[local]'" == error.value.hint


def test_a_single_text_is_not_taken_for_many(sealed: Path, loader: Loader) -> None:
    """A bare string is a mistake: it would be answered letter by letter."""
    with pytest.raises(InputError, match="one text"):
        Artifact.open(sealed).generate("hello")


def test_the_manifest_is_as_readable_as_the_weights(sealed: Path) -> None:
    """The manifest has the same read permissions as the weights."""
    modes = {path.stat().st_mode for path in sealed.iterdir() if path.is_file()}

    assert 1 == len(modes)
