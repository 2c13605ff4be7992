"""Whatever bytes a file holds, and whatever values its rows, nothing but a DataError comes out of it."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftsdk.data import check, rows
from ftsdk.data.formats import KEYS, TAKES
from ftsdk.data.messages import KEYS as MESSAGE_KEYS
from ftsdk.errors import DataError
from ftsdk.spec import Dataset

few = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
names = st.sampled_from(["rows.jsonl", "rows.json", "rows.jsonl.gz", "rows.json.gz"])
methods = st.sampled_from(sorted(TAKES))

words = st.sampled_from([*MESSAGE_KEYS, "user", "assistant", "tool", "system", "human", "gpt", "function_call", ""])
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | words
)
keys = (
    st.sampled_from([*sorted(KEYS), *sorted(MESSAGE_KEYS), "from", "value", "function", "arguments", "type"])
    | st.text()
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4))
some_rows = st.lists(st.dictionaries(st.sampled_from(sorted(KEYS)), values, min_size=1, max_size=5), max_size=3)

VALID = (
    '{"messages": [{"role": "system", "content": "é"}, {"role": "user", "content": "a"}, {"role": "assistant", '
    '"content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "content": '
    '"\\ud83d\\ude00"}, {"role": "assistant", "content": [{"type": "text", "text": "b"}]}], "tools": []}\n'
).encode()


def _survives(file: Path, content: bytes, method: str = "sft") -> None:
    file.write_bytes(content)
    with suppress(DataError):
        check(Dataset(path=str(file)), method)


@few
@given(name=names, content=st.binary())
def test_any_bytes(name: str, content: bytes, tmp_path: Path) -> None:
    """Any bytes are rows or a DataError."""
    _survives(tmp_path / name, content)


@few
@given(name=names, place=st.integers(0, len(VALID)), length=st.integers(0, 9), put=st.binary(max_size=9))
def test_mutations(name: str, place: int, length: int, put: bytes, tmp_path: Path) -> None:
    """A good file with some bytes changed is rows or a DataError."""
    mutant = VALID[:place] + put + VALID[place + length :]
    _survives(tmp_path / name, b"[" + VALID + b"," + mutant + b"]" if name.startswith("rows.json.") else VALID + mutant)


@few
@given(method=methods, values=some_rows)
def test_any_values(method: str, values: list[dict[str, Any]], tmp_path: Path) -> None:
    """Any JSON under the keys that are known is rows or a DataError."""
    _survives(tmp_path / "rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in values).encode(), method)


@few
@given(method=methods, values=some_rows)
def test_what_passes_passes_again(method: str, values: list[dict[str, Any]], tmp_path: Path) -> None:
    """Canonical rows are their own canonical form, so that they may be written and read again."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in values), encoding="utf-8")
    try:
        once = [row.value for row in rows(Dataset(path=str(file)), method)]
    except DataError:
        return
    file.write_text("".join(f"{json.dumps(row)}\n" for row in once), encoding="utf-8")

    assert once == [row.value for row in rows(Dataset(path=str(file)), method)]
