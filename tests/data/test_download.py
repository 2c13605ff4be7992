"""Remote rows become a local file, read by the one strict reader."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ftsdk import Dataset
from ftsdk.data import download as remote
from ftsdk.data import rows
from ftsdk.data.download import download_dataset
from ftsdk.errors import DataError

ROW = {"prompt": "2 plus 3 is", "completion": " 5."}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server of one folder with one file of rows."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    monkeypatch.setattr(remote, "SCHEMES", ("http://",))  # a test server has no certificate
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{service.server_port}"
        service.shutdown()


def test_address(server, tmp_path):
    """An address is downloaded once, and its rows are read from the file."""
    dataset = download_dataset(Dataset(path=f"{server}/rows.jsonl"), tmp_path / "cache")

    assert [row.value for row in rows(dataset, "sft")] == [ROW]


def test_second_time_from_the_cache(server, tmp_path):
    """A resumed job does not download again."""
    first = download_dataset(Dataset(path=f"{server}/rows.jsonl"), tmp_path / "cache")
    (tmp_path / "served" / "rows.jsonl").unlink()

    assert download_dataset(Dataset(path=f"{server}/rows.jsonl"), tmp_path / "cache") == first


def test_missing(server, tmp_path):
    """A failed download is an error that names the field, and leaves no file in the cache."""
    with pytest.raises(DataError, match=r"dataset.path: .*nothing.jsonl cannot be downloaded"):
        download_dataset(Dataset(path=f"{server}/nothing.jsonl"), tmp_path / "cache")

    assert not any(path.suffix == ".jsonl" and not path.name.startswith(".") for path in (tmp_path / "cache").iterdir())


def test_other_schemes(tmp_path):
    """An address of another scheme is refused with the schemes that are supported."""
    with pytest.raises(DataError, match="https://"):
        download_dataset(Dataset(path="file:///etc/passwd"), tmp_path / "cache")


def test_local_files_stay(tmp_path):
    """Local files are used as they are."""
    dataset = Dataset(path=str(tmp_path / "rows.jsonl"))

    assert download_dataset(dataset, tmp_path / "cache") is dataset


def test_hub_table(tmp_path, monkeypatch):
    """A Hub dataset becomes JSON Lines; nulls that its table filled in are left out again."""
    import datasets

    table = datasets.Dataset.from_list([{**ROW, "extra": None}, {**ROW, "extra": "x"}])
    arguments = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **keys: arguments.update(name=name, **keys) or table)

    dataset = download_dataset(Dataset(path="org/rows", split="test", revision="abc"), tmp_path / "cache")

    assert arguments == {"name": "org/rows", "split": "test", "revision": "abc"}
    assert "extra" not in Path(dataset.paths[0]).read_text().splitlines()[0]
