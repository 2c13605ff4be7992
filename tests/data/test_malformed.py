"""Malformed files: each is refused with file, line and cause, and nothing of its content is repeated."""

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ftsdk.data import check
from ftsdk.errors import DataError
from ftsdk.spec import Dataset

CANARY = "hf_CanaryCanaryCanary42"
GOOD = b'{"prompt": "a", "completion": "b"}\n'


class JobAccess(NamedTuple):
    name: str
    content: bytes
    line: int
    cause: str
    file: str = "rows.jsonl"
    method: str = "sft"


def _row(**keys: Any) -> bytes:
    return json.dumps(keys).encode() + b"\n"


def _chat(*messages: Any) -> bytes:
    return _row(messages=list(messages))


def _said(role: Any, content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


USER, ANSWER = _said("user"), _said("assistant")
CALL = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
TOOL = _said("tool")

JSON_LINES = [
    JobAccess("empty file", b"", 1, "no rows"),
    JobAccess("blank lines only", b"\n \n\t\n", 1, "no rows"),
    JobAccess("bom only", b"\xef\xbb\xbf", 1, "no rows"),
    JobAccess("cut off in a string", GOOD + b'{"prompt": "a", "completion": "b', 2, "a string is not closed"),
    JobAccess("cut off behind a value", GOOD + b'{"prompt": "a"', 2, "ends in the middle"),
    JobAccess("trailing garbage", GOOD + b'{"prompt": "a", "completion": "b"} x\n', 2, "follows the end"),
    JobAccess("two objects on a line", GOOD.strip() + GOOD, 1, "follows the end"),
    JobAccess("single quotes", b"{'prompt': 'a'}\n", 1, "double quotes"),
    JobAccess("trailing comma", GOOD + b'{"prompt": "a",}\n', 2, "broken JSON"),
    JobAccess("python's None", b'{"prompt": None}\n', 1, "a value is missing"),
    JobAccess("missing colon", b'{"prompt" "a"}\n', 1, "a colon is missing"),
    JobAccess("missing comma", b'{"prompt": "a" "completion": "b"}\n', 1, "a comma or a closing bracket"),
    JobAccess("raw tab", b'{"prompt": "a\tb"}\n', 1, "control character"),
    JobAccess("unknown escape", b'{"prompt": "C:\\d"}\n', 1, "a backslash"),
    JobAccess("comment", b"// rows\n" + GOOD, 1, "a value is missing"),
    JobAccess("duplicate key", GOOD + b'{"prompt": "a", "prompt": "b"}\n', 2, "prompt stands twice"),
    JobAccess("duplicate key within", b'{"messages": [{"role": "user", "role": "tool"}]}\n', 1, "role stands twice"),
    JobAccess("NaN", b'{"prompt": NaN}\n', 1, "NaN is no JSON"),
    JobAccess("Infinity", b'{"prompt": -Infinity}\n', 1, "Infinity is no JSON"),
    JobAccess("1e999", b'{"prompt": 1e999}\n', 1, "too large"),
    JobAccess("5000 digits", b'{"prompt": ' + b"9" * 5000 + b"}\n", 1, "300 digits"),
    JobAccess("lone surrogate", b'{"prompt": "\\ud83d", "completion": "b"}\n', 1, "surrogate"),
    JobAccess("lone surrogate in a key", b'{"\\uDC00": "a"}\n', 1, "surrogate"),
    JobAccess("nested too deep", b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}\n", 1, "nested"),
    JobAccess("nested far too deep", GOOD + b'{"a": ' + b"[" * 100_000 + b"\n", 2, "nested"),
    JobAccess("list as a row", GOOD + b"[1]\n", 2, "this is a list"),
    JobAccess("string as a row", GOOD + b'"x"\n', 2, "this is a string"),
    JobAccess("number as a row", b"1\n", 1, "this is a number"),
    JobAccess("null as a row", b"null\n", 1, "this is null"),
    JobAccess("true as a row", b"true\n", 1, "this is true or false"),
    JobAccess("array on a line", b'[{"prompt": "a"}]\n', 1, "this is a JSON array"),
    JobAccess("array over lines", b'[\n{"prompt": "a"}\n]\n', 1, "this is a JSON array"),
    JobAccess("pretty-printed", b'{\n"prompt": "a"\n}\n', 1, "over several lines"),
    JobAccess("pretty-printed list", b'{"messages": [\n]}\n', 1, "over several lines"),
    JobAccess("old Mac line ends", GOOD.strip() + b"\r" + GOOD, 1, "follows the end"),
]

BYTES = [
    JobAccess("UTF-16 with mark", GOOD.decode().encode("utf-16"), 1, "byte 0 begins no UTF-8 text, but UTF-16"),
    JobAccess("UTF-16 without mark", GOOD.decode().encode("utf-16-le"), 1, "byte 1 is zero: this looks like UTF-16"),
    JobAccess("UTF-32", GOOD.decode().encode("utf-32"), 1, "UTF-32"),
    JobAccess("Latin-1", GOOD + '{"prompt": "é"}\n'.encode("latin-1"), 2, f"byte {len(GOOD) + 12} is no UTF-8"),
    JobAccess("a surrogate in bytes", b'{"prompt": "\xed\xa0\x80"}\n', 1, "byte 12 is no UTF-8"),
    JobAccess("binary", b"{\x01\x02\x03\x04\x05\x00\x00", 1, "a binary file"),
    JobAccess("gzip by another name", gzip.compress(GOOD, mtime=0), 1, "but gzip"),
    JobAccess("Parquet by another name", b"PAR1\x15\x04", 1, "but Parquet"),
    JobAccess("a zip by another name", b"PK\x03\x04\x14", 1, "a zip archive"),
    JobAccess("no gzip", GOOD, 1, "no gzip file", "rows.jsonl.gz"),
    JobAccess("gzip cut off", gzip.compress(GOOD, mtime=0)[:-8], 1, "ends too early", "rows.jsonl.gz"),
    JobAccess("gzip with a flaw", gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), 1, "damaged", "rows.jsonl.gz"),
    JobAccess("Latin-1 in an array", '[\n{"prompt": "é"}]'.encode("latin-1"), 2, "byte 14 is no UTF-8", "rows.json"),
]

ARRAYS = [
    JobAccess("empty", b"", 1, "the file is empty", "rows.json"),
    JobAccess("no rows", b"[ ]", 1, "the array is empty", "rows.json"),
    JobAccess("JSON Lines by another name", GOOD, 1, "name it .jsonl", "rows.json"),
    JobAccess("a word", b"rows", 1, "must hold an array", "rows.json"),
    JobAccess("not closed", b"[\n" + GOOD, 3, "not closed", "rows.json"),
    JobAccess("cut off in a row", b"[\n" + GOOD + b',\n{"prompt": "a",', 4, "ends in the middle", "rows.json"),
    JobAccess("no comma", b"[\n" + GOOD + GOOD + b"]", 3, "a comma or the end", "rows.json"),
    JobAccess("comma at the end", b"[\n" + GOOD + b",\n]", 4, "ends behind a comma", "rows.json"),
    JobAccess("two commas", b"[\n" + GOOD + b",,]", 3, "a value is missing", "rows.json"),
    JobAccess("something behind it", b"[" + GOOD + b"]\n[]", 3, "follows the end of the array", "rows.json"),
    JobAccess(
        "a flaw far into a row", b'[\n{\n"a": 1,\n"b": x\n}' + b" " * 99 + b"]", 4, "a value is missing", "rows.json"
    ),
    JobAccess("a row that is none", b"[\n" + GOOD + b",\n7]", 4, "this is a number", "rows.json"),
    JobAccess("a duplicate key", b'[\n{"a": 1,\n"a": 2}]', 2, "a stands twice", "rows.json"),
]

MESSAGES = [
    JobAccess("no list", _row(messages="hello"), 1, "must be a list of messages"),
    JobAccess("no messages", _row(messages=[]), 1, "not empty"),
    JobAccess("no object", _chat("hello"), 1, "messages[0] must be an object"),
    JobAccess("no role", _chat({"content": "a"}), 1, "messages[0].role is missing or unknown"),
    JobAccess("unknown role", _chat(USER, _said("bot")), 1, "messages[1].role is missing or unknown"),
    JobAccess("role of a wrong type", _chat(_said(["user"])), 1, "messages[0].role is missing or unknown"),
    JobAccess("empty role", _chat(_said("")), 1, "messages[0].role is missing or unknown"),
    JobAccess("unknown key", _chat({**USER, "tool_call": 1}, ANSWER), 1, "did you mean tool_calls?"),
    JobAccess("a weight", _chat(USER, {**ANSWER, "weight": 0}), 1, "the key weight"),
    JobAccess("null content", GOOD.replace(b"prompt", b"p") + b"\n", 1, "no known format"),
    JobAccess("content is null", _chat(USER, _said("assistant", None)), 1, "messages[1].content is null"),
    JobAccess("content is missing", _chat({"role": "user"}, ANSWER), 1, "messages[0].content is missing"),
    JobAccess("content is a number", _chat(_said("user", 7), ANSWER), 1, "messages[0].content must be text"),
    JobAccess("an image", _chat(_said("user", [{"type": "image_url"}]), ANSWER), 1, "messages[0].content must be text"),
    JobAccess("an empty answer", _chat(USER, _said("assistant", " \n")), 1, "the assistant says nothing"),
    JobAccess("no answer", _chat(USER), 1, "nothing to learn"),
    JobAccess("assistant first", _chat(ANSWER), 1, "assistant cannot begin"),
    JobAccess("system in the middle", _chat(USER, ANSWER, _said("system")), 1, "system cannot follow assistant"),
    JobAccess("two systems", _chat(_said("system"), _said("system"), USER, ANSWER), 1, "system cannot follow system"),
    JobAccess("two users", _chat(USER, USER, ANSWER), 1, "join the two"),
    JobAccess("a tool without a call", _chat(USER, ANSWER, TOOL), 1, "has called no tool"),
    JobAccess("a tool first", _chat(TOOL, ANSWER), 1, "tool cannot begin"),
    JobAccess("a call by the user", _chat({**CALL, "role": "user"}, ANSWER), 1, "only the assistant"),
    JobAccess("a call without a name", _chat(USER, {**ANSWER, "tool_calls": [{"function": {}}]}), 1, "the tool's name"),
    JobAccess("a call that is none", _chat(USER, {**ANSWER, "tool_calls": [7]}), 1, "tool_calls[0] must be a call"),
    JobAccess(
        "arguments that are no object",
        _chat(USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": [1]}]}),
        1,
        "arguments must be an object",
    ),
    JobAccess(
        "arguments that are no JSON",
        _chat(USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": "{a"}]}),
        1,
        "arguments must be JSON",
    ),
    JobAccess("a name that is no text", _chat({**USER, "name": 7}, ANSWER), 1, "messages[0].name must be text"),
    JobAccess("tools that are no list", _row(messages=[USER, ANSWER], tools={"a": 1}), 1, "tools must be a list"),
    JobAccess("a tool without a name", _row(messages=[USER, ANSWER], tools=[{"type": "function"}]), 1, "tools[0]"),
]

FORMATS = [
    JobAccess("unknown keys", GOOD + _row(question="a", answer="b"), 2, "has no completion and no prompt"),
    JobAccess("a misspelled key", _row(mesages=[]), 1, "did you mean messages?"),
    JobAccess("mixed formats", GOOD + GOOD + _row(text="a"), 3, "rows.jsonl:1 has"),
    JobAccess("mixed text and messages", GOOD + _row(prompt=[USER], completion=[ANSWER]), 2, "in messages"),
    JobAccess("a label in one row only", GOOD + _row(prompt="a", completion="b", label=True), 2, "the row has label"),
    JobAccess("an empty completion", _row(prompt="a", completion=""), 1, "completion is empty"),
    JobAccess("a null completion", GOOD + _row(prompt="a", completion=None), 2, "has no completion"),
    JobAccess("a completion of a wrong type", _row(prompt="a", completion=7), 1, "completion must be text"),
    JobAccess("a prompt of a wrong type", _row(prompt=7, completion="a"), 1, "prompt must be text"),
    JobAccess("text and messages", _row(prompt="a", completion=[ANSWER]), 1, "must both be"),
    JobAccess("an empty text", _row(text=" "), 1, "text is empty"),
    JobAccess("a text of a wrong type", _row(text=[]), 1, "text must be text"),
    JobAccess("a prompt alone for sft", _row(prompt="a"), 1, "sft learns from"),
    JobAccess("sft rows for dpo", GOOD, 1, "dpo learns from preference", method="dpo"),
    JobAccess("an empty rejected", _row(prompt="a", chosen="b", rejected=""), 1, "rejected is empty", method="dpo"),
    JobAccess("no prompt", _row(chosen="b", rejected="c"), 1, "prompt is missing", method="dpo"),
    JobAccess(
        "nothing shared",
        _row(chosen=[_said("user", "a"), ANSWER], rejected=[_said("user", "b"), ANSWER]),
        1,
        "share no beginning",
        method="dpo",
    ),
    JobAccess(
        "another prompt",
        _row(prompt="x", chosen=[USER, ANSWER], rejected=[USER, _said("assistant", "no")]),
        1,
        "not what chosen and rejected begin with",
        method="dpo",
    ),
    JobAccess("a label of a wrong type", _row(prompt="a", completion="b", label=1), 1, "true or false", method="kto"),
    JobAccess(
        "a label on a question", _row(messages=[USER, ANSWER, USER], label=True), 1, "must end with", method="kto"
    ),
    JobAccess("a prompt that is answered", _row(prompt=[USER, ANSWER]), 1, "nothing left to answer", method="grpo"),
    JobAccess("an empty prompt", _row(prompt=""), 1, "prompt is empty", method="ppo"),
    JobAccess("alpaca without an output", _row(instruction="a", output=""), 1, "output is empty"),
    JobAccess("alpaca without words", _row(instruction=" ", output="a"), 1, "instruction and input are both empty"),
    JobAccess("alpaca with a wrong input", _row(instruction="a", input=7, output="a"), 1, "input must be text"),
    JobAccess("alpaca with a wrong history", _row(instruction="a", output="b", history=[["c"]]), 1, "history"),
    JobAccess("a comma behind each row", GOOD.strip() + b",\n" + GOOD, 1, "follows the end"),
    JobAccess("sharegpt without a list", _row(conversations="a"), 1, "conversations must be a list"),
    JobAccess("sharegpt with roles", _row(conversations=[USER]), 1, "conversations[0] must be an object with from"),
    JobAccess(
        "sharegpt with a stranger", _row(conversations=[{"from": "x", "value": "a"}]), 1, "conversations[0].from"
    ),
    JobAccess(
        "sharegpt with a broken call",
        _row(conversations=[{"from": "human", "value": "a"}, {"from": "function_call", "value": "{"}]),
        1,
        "conversations[1].value must be JSON",
    ),
    JobAccess(
        "sharegpt with a half character in a call",
        _row(
            conversations=[{"from": "human", "value": "a"}, {"from": "function_call", "value": '{"name": "\\ud800"}'}]
        ),
        1,
        "surrogate",
    ),
    JobAccess(
        "sharegpt with broken tools",
        _row(conversations=[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], tools="[}"),
        1,
        "tools must be JSON",
    ),
    JobAccess("chosen alone", _row(conversations=[{"from": "human", "value": "a"}], chosen={}), 1, "nothing to learn"),
    JobAccess(
        "a chosen turn that is none",
        _row(conversations=[{"from": "human", "value": "a"}], chosen={}, rejected={}),
        1,
        "chosen[0] must be an object",
        method="dpo",
    ),
]

CASES = [*JSON_LINES, *BYTES, *ARRAYS, *MESSAGES, *FORMATS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.partition('.')[2]}: {case.name}")
def test_a_flaw_is_named_with_file_line_and_cause(case: JobAccess, tmp_path: Path) -> None:
    """Each malformed file is refused, and the first problem names file, line and cause."""
    file = tmp_path / case.file
    file.write_bytes(case.content)

    with pytest.raises(DataError) as caught:
        check(Dataset(path=str(file)), case.method)

    first = caught.value.problems[0]
    assert f"{file}:{case.line}" == ":".join(first.where.split(":")[:2])
    assert case.cause in str(first)


@pytest.mark.parametrize("case", [case for case in CASES if b'"a' in case.content], ids=lambda case: case.name)
def test_content_is_never_repeated(case: JobAccess, tmp_path: Path) -> None:
    """Whatever is wrong, an error repeats nothing that stands in the rows."""
    file = tmp_path / case.file
    file.write_bytes(case.content.replace(b'"a', b'"' + CANARY.encode()).replace(b'"hello', b'"' + CANARY.encode()))

    with pytest.raises(DataError) as caught:
        check(Dataset(path=str(file)), case.method)

    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.to_dict()}"
