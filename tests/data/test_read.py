"""Reading: valid files are read, with the right lines, in little memory; what is not a file is refused."""

import gzip
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from ftsdk.data import json_array_reader as arrays
from ftsdk.data import read, source
from ftsdk.data.read import Line, read_rows
from ftsdk.errors import DataError, Problem

ROW = b'{"text": "a"}'


def _stop(problem: Problem) -> None:
    raise DataError("stopped", problems=[problem])


def _lines(file: Path, content: bytes) -> list[int]:
    file.write_bytes(content)
    return [row.line for row in read_rows(file, _stop)]


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.jsonl", b"\n" + ROW + b"\n\n" + ROW, [2, 4]),
        ("a.jsonl", b"\xef\xbb\xbf" + ROW, [1]),
        ("a.jsonl", b" " + ROW + b" \r\n" + ROW + b"\r\n", [1, 2]),
        ("a.JSONL", ROW, [1]),
        ("a.ndjson", ROW, [1]),
        ("a.jsonl.gz", gzip.compress(ROW, mtime=0), [1]),
        ("a.json.gz", gzip.compress(b"[" + ROW + b"]", mtime=0), [1]),
        ("a.json", b"\xef\xbb\xbf\n[\n" + ROW + b"\n,\n\n" + ROW + b"]\n", [3, 6]),
        ("a.json", b"[" + ROW + b"," + ROW + b"]", [1, 1]),
        ("2024.01.json", b"[" + ROW + b"]", [1]),
    ],
)
def test_legal_files_are_read(name: str, content: bytes, lines: list[int], tmp_path: Path) -> None:
    """Blank lines, a byte order mark, CRLF, compression and odd spacing are fine, and lines are counted right."""
    assert lines == _lines(tmp_path / name, content)


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_rows_may_lie_across_blocks(
    block: int, ascii_only: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a file is cut into blocks, an array gives what the standard parser gives."""
    monkeypatch.setattr(arrays, "_BLOCK", block)
    values = [{"text": 'ä€😀\\"\n', "n": [-1.5e-7, True, None, {"k": {}}]}, {}, {"x": 123456789}]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(values, ensure_ascii=ascii_only, indent=1), encoding="utf-8")

    assert values == [row.value for row in read_rows(file, _stop)]


@pytest.mark.parametrize("block", [4, 1 << 20])
def test_columns_are_true_across_blocks(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The column of an error does not depend on how the file is cut into blocks."""
    monkeypatch.setattr(arrays, "_BLOCK", block)
    content = b"[\n" + ROW + b", " + ROW + b", x" + b" " * 99 + b"]"

    with pytest.raises(DataError) as caught:
        _lines(tmp_path / "rows.json", content)

    assert f"{tmp_path / 'rows.json'}:2:31" == caught.value.problems[0].where


def test_a_column_counts_the_indent(tmp_path: Path) -> None:
    """A column is that of the line in the file."""
    with pytest.raises(DataError) as caught:
        _lines(tmp_path / "rows.jsonl", ROW + b'\n   {"text": x}\n')

    assert f"{tmp_path / 'rows.jsonl'}:2:13" == caught.value.problems[0].where


def test_reading_continues_after_a_bad_row(tmp_path: Path) -> None:
    """A bad line does not affect another line."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes(ROW + b"\n{\n" + ROW + b"\n7\n")
    problems: list[Problem] = []

    rows = list(read_rows(file, problems.append))

    assert [1, 3] == [row.line for row in rows]
    assert [f"{file}:2:2", f"{file}:4"] == [problem.where for problem in problems]


def test_a_wrong_encoding_is_reported_once(tmp_path: Path) -> None:
    """A file in another encoding is one problem, not one for each line."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes('{"text": "é"}\n'.encode("latin-1") * 9)
    problems: list[Problem] = []

    assert [] == list(read_rows(file, problems.append))
    assert [f"{file}:1"] == [problem.where for problem in problems]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_an_endless_row_is_not_read_whole(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row beyond the limit is refused after reading about as much as the limit."""
    for module in (arrays, read, source):
        monkeypatch.setattr(module, "LONGEST_ROW", 1 << 20)
    file = tmp_path / name
    with file.open("wb") as hole:
        hole.write(b'[{"text": "' if name == "rows.json" else b'{"text": "')
        hole.write(b"a" * (32 << 20))

    tracemalloc.start()
    with pytest.raises(DataError, match="longer than 1 MiB"):
        list(read_rows(file, _stop))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 16 << 20


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A large array takes no more memory than a few blocks."""
    file = tmp_path / "rows.json"
    row = json.dumps({"text": "word " * 2000})
    file.write_text(f"[{', '.join([row] * 3000)}]", encoding="utf-8")

    tracemalloc.start()
    count = sum(1 for _ in read_rows(file, _stop))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 3000 == count
    assert peak < 8 << 20 < file.stat().st_size


def test_a_folder_names_what_could_be_meant(tmp_path: Path) -> None:
    """A folder instead of a file is refused, with the files in it."""
    folder = tmp_path / "rows.json"
    folder.mkdir()
    (folder / "train.jsonl").touch()

    with pytest.raises(DataError, match="is a folder") as caught:
        list(read_rows(folder, _stop))

    assert "give a file in it: train.jsonl" == caught.value.hint


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    """A pipe is refused at once instead of being waited for."""
    pipe = tmp_path / "rows.jsonl"
    os.mkfifo(pipe)

    with pytest.raises(DataError, match="is not a regular file"):
        list(read_rows(pipe, _stop))


@pytest.mark.parametrize("name", ["rows.csv", "rows.txt", "rows", "rows.gz", "rows.jsonl.zip"])
def test_other_kinds_list_what_is_read(name: str, tmp_path: Path) -> None:
    """A file of another kind is refused with the kinds that are read."""
    (tmp_path / name).write_bytes(ROW)

    with pytest.raises(DataError, match=r"rows are read from \.jsonl, \.ndjson, \.json files"):
        list(read_rows(tmp_path / name, _stop))


def test_a_disk_error_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk fails in the middle, the line is named."""

    class Failing:
        def __init__(self) -> None:
            self.left = [ROW + b"\n", ROW + b"\n"]

        def readline(self, _: int) -> bytes:
            if self.left:
                return self.left.pop()
            raise OSError(5, "Input/output error")

    errors: list[tuple[int, str]] = []

    rows = list(read.read_lines(Failing(), lambda line, error: errors.append((line, error.cause))))

    assert [1, 2] == [line for line, _ in rows]
    assert [(3, "the file cannot be read to its end: Input/output error")] == errors


def test_a_line_is_a_row_with_its_place(tmp_path: Path) -> None:
    """A row comes with the file's name as it was given."""
    (tmp_path / "rows.jsonl").write_bytes(ROW)

    assert [Line({"text": "a"}, str(tmp_path / "rows.jsonl"), 1)] == list(read_rows(tmp_path / "rows.jsonl", _stop))
