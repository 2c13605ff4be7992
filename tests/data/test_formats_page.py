"""The page on data formats is correct: its rows are accepted, and its errors are those that are raised."""

import re
from pathlib import Path

import pytest

from ftsdk.data import check
from ftsdk.data.formats import FORMATS, TAKES
from ftsdk.errors import DataError
from ftsdk.spec import Dataset

PAGE = (Path(__file__).parents[2] / "docs" / "data-formats.md").read_text(encoding="utf-8")
ACCEPTED = re.findall(r"^```json (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
REFUSED = re.findall(r"^```json refused (\w+)\n(.*?)^```\n\n```text\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("method", "rows"), ACCEPTED)
def test_examples_are_accepted(method: str, rows: str, tmp_path: Path) -> None:
    """Each example of a format is read by the method that it is shown for."""
    (tmp_path / "train.jsonl").write_text(rows, encoding="utf-8")

    assert rows.count("\n") == check(Dataset(path=str(tmp_path / "train.jsonl")), method).rows


@pytest.mark.parametrize(("method", "rows", "problem"), REFUSED)
def test_errors_are_those_that_come(
    method: str, rows: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each error on the page is what the row above it gives, word for word."""
    (tmp_path / "train.jsonl").write_text(rows, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataError) as caught:
        check(Dataset(path="train.jsonl"), method)

    assert [problem] == [str(entry) for entry in caught.value.problems]


def test_the_table_is_the_code_s() -> None:
    """The page lists for each method the formats that it takes, in the order of the code."""
    lines = re.findall(r"^\| (`.*) \| (.*) \|$", PAGE.partition("## Messages")[0], re.MULTILINE)
    table = {method: _formats(cell) for methods, cell in lines for method in re.findall(r"`(\w+)`", methods)}

    assert table == TAKES


def _formats(cell: str) -> tuple[str, ...]:
    """The names of formats in a cell of the table: ``[prompt and completion](#anchor)`` is prompt_completion."""
    plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", cell)
    return tuple(name.replace(" and ", " ").replace(" ", "_") for name in plain.split(", "))


def test_nothing_is_left_out() -> None:
    """Every method and every format is on the page."""
    names = {*TAKES, *(format_.name for format_ in FORMATS)}

    assert set() == {name for name in names if f"`{name}`" not in PAGE and f"](#{name})" not in PAGE}
