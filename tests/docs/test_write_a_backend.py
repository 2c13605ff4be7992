"""The backend of docs/write-a-backend.md is complete: built from the page, it passes the contract."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

FILE = re.compile(r"^```python\n# (?P<name>[\w/]+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^\| (?P<names>`.+?) \|", re.MULTILINE)


def _entry_points(page: str) -> str:
    """The entry points of the page's pyproject.toml, as an installer writes them."""
    project = tomllib.loads(TOML.findall(page)[0])["project"]
    groups = project["entry-points"].items()
    return "".join(f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in names.items()) for group, names in groups)


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs" / "write-a-backend.md").read_text(encoding="utf-8")


def test_the_worked_example_passes_the_contract(page: str, tmp_path: Path) -> None:
    """The files on the page, installed as a third party's package, pass every test of the contract."""
    for name, code in FILE.findall(page):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    installed = tmp_path / "ftsdk_acme-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ftsdk-acme\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text(_entry_points(page), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
        "test_acme.py",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert 0 == ended.returncode, ended.stdout[-4000:]


def test_the_table_of_options_is_complete(page: str) -> None:
    """Every option of the fake backend is in the table, and no other."""
    from ftsdk.testing import Script

    listed = {name for row in OPTION.findall(page) for name in re.findall(r"`(\w+)`", row)}

    assert listed == set(Script.model_fields)
