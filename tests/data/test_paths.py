"""Paths: which of them mean a file on this disk, and the error where it is missing."""

from pathlib import Path

import pytest

from ftsdk.data import check, is_local
from ftsdk.errors import DataError
from ftsdk.spec import Dataset


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("rows.jsonl", True),
        ("data/rows.json.gz", True),
        ("ROWS.JSON", True),
        ("./rows", True),
        ("../rows", True),
        ("/rows", True),
        ("~/rows", True),
        ("a/b/c", True),
        ("my rows", True),
        ("squad", False),
        ("org/name", False),
        ("org/name.v2", False),
        ("https://host/rows.jsonl", False),
        ("s3://bucket/rows.jsonl", False),
    ],
)
def test_files_are_distinguished_from_ids_and_addresses(path: str, local: bool) -> None:
    """A path that looks like a file is one, even if it is missing; a Hub id or an address is not."""
    assert local == is_local(path)


def test_a_file_that_is_there_is_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on this disk comes first, also where its path could be a Hub id."""
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").touch()
    monkeypatch.chdir(tmp_path)

    assert is_local("org/name")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trian.jsonl", "did you mean train.jsonl?"),
        ("org/name.json", "named org/name without an ending"),
        ("./no/such.jsonl", "check the path"),
    ],
)
def test_a_missing_file_is_named_whole(name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for a missing file has the absolute path, and a name that may be meant."""
    (tmp_path / "train.jsonl").touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataError) as caught:
        check(Dataset(path=name), "sft")

    assert f"dataset.path: there is no file {tmp_path / name}" == caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("target", ["rows.jsonl", "nowhere.jsonl"])
def test_a_link_that_leads_nowhere_is_reported(target: str, tmp_path: Path) -> None:
    """A link to itself or to a missing file is reported as such."""
    (tmp_path / "rows.jsonl").symlink_to(target)

    with pytest.raises(DataError, match="it is a link whose target is missing"):
        check(Dataset(path=str(tmp_path / "rows.jsonl")), "sft")


def test_a_file_within_a_file_is_not_there(tmp_path: Path) -> None:
    """A path through a file instead of a folder is wrong like any other."""
    (tmp_path / "rows").touch()

    with pytest.raises(DataError, match="there is no file"):
        check(Dataset(path=str(tmp_path / "rows" / "train.jsonl")), "sft")


@pytest.mark.parametrize("name", ["org/name", "https://user:password@host/rows.jsonl"])
def test_a_remote_dataset_is_not_read_here(name: str) -> None:
    """Remote rows must be downloaded first; a password in an address is not shown."""
    with pytest.raises(DataError, match="is not on this machine") as caught:
        check(Dataset(path=name), "sft")

    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["~nobody-of-this-name/rows.jsonl", "a\0.jsonl", "/" + "a" * 5000, ".", "\ud800.jsonl"]
)
def test_odd_names_are_data_errors(name: str) -> None:
    """A name that no system takes is refused like any missing file."""
    with pytest.raises(DataError):
        check(Dataset.model_construct(path=name), "sft")
