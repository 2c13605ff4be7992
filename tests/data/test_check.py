"""The report on a dataset, and the errors that a user sees together."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from ftsdk.data import check, rows
from ftsdk.data.check import MOST_PROBLEMS
from ftsdk.errors import DataError
from ftsdk.spec import Dataset

USER = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}


def _file(folder: Path, *values: Any, name: str = "rows.jsonl") -> str:
    file = folder / name
    file.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
    return str(file)


def test_a_report_counts_and_hashes(tmp_path: Path) -> None:
    """A report names the format, rows and characters of all files, and the hash of each."""
    first = _file(tmp_path, {"messages": [USER, ANSWER]})
    second = _file(tmp_path, {"messages": [USER, {"role": "assistant", "content": "ok!"}]}, name="more.jsonl")

    report = check(Dataset(path=(first, second)), "sft")

    assert ("messages", 2, 5 + 2 + 5 + 3, ()) == (report.format, report.rows, report.characters, report.warnings)
    assert {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in (first, second)} == report.sha256


def test_a_relative_path_is_hashed_under_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes are listed under absolute paths, whatever the path in the spec."""
    path = _file(tmp_path, {"text": "a"}, {"text": "b"})
    monkeypatch.chdir(tmp_path)

    assert [path] == list(check(Dataset(path="rows.jsonl"), "sft").sha256)


@pytest.mark.parametrize(
    ("method", "values", "warning"),
    [
        ("sft", [{"text": "a"}, {"text": "a"}, {"text": "a"}], "2 rows: the same as an earlier row"),
        ("sft", [{"text": "a"}], "there is one row only"),
        ("sft", [{"text": "a"}, {"text": "b" * 200_001}], "1 row: longer than 200,000 characters"),
        (
            "sft",
            [{"text": "a"}, {"text": "b", "texts": 1}],
            "1 row: with the key texts, which is not used",
        ),
        ("sft", [{"text": "a"}, {"text": "b", "source": "c"}], "1 row: with the key source, which is not used"),
        (
            "sft",
            [{"instruction": n, "output": n, "imput": n} for n in "ab"],
            "2 rows: with the key imput, which is not used; did you mean input?",
        ),
        (
            "sft",
            [{"messages": [USER, ANSWER, USER]}, {"messages": [USER, ANSWER]}],
            "1 row: ending with a message",
        ),
        (
            "dpo",
            [{"prompt": n, "chosen": "x", "rejected": "x"} for n in "ab"],
            "2 rows: with the same answer chosen and rejected",
        ),
        ("kto", [{"prompt": n, "completion": n, "label": True} for n in "ab"], "all rows have the same label"),
    ],
)
def test_likely_mistakes_are_counted(method: str, values: list[Any], warning: str, tmp_path: Path) -> None:
    """What is valid but likely a mistake becomes a warning with a count."""
    report = check(Dataset(path=_file(tmp_path, *values)), method)

    assert 1 == len(report.warnings)
    assert report.warnings[0].startswith(warning)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("input", {"instruction": "a", "output": "b"}),  # recognised without it
        ("completion", {"prompt": "a", "answer": "b"}),  # recognised as another format
        ("text", {"story": "a"}),  # not recognised
    ],
)
def test_a_column_that_no_row_has_is_refused(key: str, row: Any, tmp_path: Path) -> None:
    """A misspelled name in ``dataset.columns`` is the first problem, whatever else it leads to."""
    with pytest.raises(DataError) as caught:
        check(Dataset(path=_file(tmp_path, row, row), columns={key: "typo"}), "sft")

    assert f"dataset.columns.{key}: no row read has the key typo -> check its spelling" == str(caught.value.problems[0])


def test_a_column_may_be_absent_from_some_rows(tmp_path: Path) -> None:
    """A key that a row need not have is missed only where no row has it."""
    path = _file(tmp_path, {"instruction": "a", "output": "b"}, {"instruction": "a", "output": "b", "context": "c"})

    assert 2 == check(Dataset(path=path, columns={"input": "context"}), "sft").rows


@pytest.mark.parametrize(
    "values",
    [
        [{"messages": [USER, ANSWER]}, {"messages": [{"role": "user", "content": "hellohi"}, ANSWER]}],
        [{"messages": [USER, ANSWER]}, {"messages": [USER, {**ANSWER, "name": "ann"}]}],
        [{"messages": [USER, ANSWER]}, {"messages": [USER, ANSWER], "tools": [{"name": "f"}]}],
        [
            {"messages": [USER, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": x}}]}]}
            for x in (-1, -2)
        ],
        [{"prompt": "ab", "completion": "c"}, {"prompt": "a", "completion": "bc"}],
    ],
)
def test_rows_that_differ_are_no_duplicates(values: list[Any], tmp_path: Path) -> None:
    """Rows count as the same only where texts, calls and tools are."""
    assert () == check(Dataset(path=_file(tmp_path, *values)), "sft").warnings


def test_a_byte_order_mark_is_mentioned(tmp_path: Path) -> None:
    """A byte order mark is skipped, with a warning, because other systems refuse it."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n')

    assert [f"{file} begins with a byte order mark"] == [
        warning.partition(",")[0] for warning in check(Dataset(path=str(file)), "sft").warnings
    ]


def test_all_problems_come_in_one_error(tmp_path: Path) -> None:
    """A check continues after a problem, so that one error names all of them."""
    path = _file(tmp_path, {"text": "a"}, {"text": ""}, {"text": "b"}, {"text": 7}, [])

    with pytest.raises(DataError) as caught:
        check(Dataset(path=path), "sft")

    assert [f"{path}:2", f"{path}:4", f"{path}:5"] == [problem.where for problem in caught.value.problems]
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))


def test_the_list_of_problems_ends(tmp_path: Path) -> None:
    """A file that is bad throughout gives a message that can still be read."""
    with pytest.raises(DataError, match=f"its first {MOST_PROBLEMS} problems") as caught:
        check(Dataset(path=_file(tmp_path, *[{"text": ""}] * 1000)), "sft")

    assert MOST_PROBLEMS == len(caught.value.problems)


def test_rows_come_one_by_one(tmp_path: Path) -> None:
    """Rows before a bad one are given, and the bad one ends them."""
    stream = rows(Dataset(path=_file(tmp_path, {"text": "a"}, {"text": ""})), "sft")

    assert {"text": "a"} == next(stream).value
    with pytest.raises(DataError, match=r"rows\.jsonl:2: text is empty"):
        next(stream)


def test_only_so_many_rows_are_taken(tmp_path: Path) -> None:
    """``max_samples`` takes the first rows, and those after them are not read."""
    dataset = Dataset(path=_file(tmp_path, {"text": "a"}, {"text": "b"}, {"text": ""}), max_samples=2)

    assert ["a", "b"] == [row.value["text"] for row in rows(dataset, "sft")]
    assert 2 == check(dataset, "sft").rows


def test_an_empty_file_among_others_is_reported(tmp_path: Path) -> None:
    """Each file must have rows: an empty one is likely a mistake elsewhere."""
    full, empty = _file(tmp_path, {"text": "a"}), _file(tmp_path, name="none.jsonl")

    with pytest.raises(DataError, match=r"none\.jsonl:1: the file has no rows"):
        check(Dataset(path=(full, empty)), "sft")


def test_warnings_repeat_nothing(tmp_path: Path) -> None:
    """A warning has the names of keys, and none of their values."""
    row = {"prompt": "canary", "chosen": "canary", "rejected": "canary", "note": "canary"}
    report = check(Dataset(path=_file(tmp_path, row, row)), "dpo")

    assert 3 == len(report.warnings)
    assert "canary" not in repr(report.warnings)


def test_a_name_in_a_row_may_be_a_secret(tmp_path: Path) -> None:
    """An unknown key is shown as its length where it could be a secret."""
    secret = "hf_" + "a1B2c3D4" * 4
    report = check(Dataset(path=_file(tmp_path, {"text": "a", secret: 1}, {"text": "b"})), "sft")

    assert ("1 row: with the key (a key of 35 characters), which is not used",) == report.warnings
