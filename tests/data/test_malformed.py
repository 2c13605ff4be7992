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


class Malformed(NamedTuple):
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


def _turn(role: Any, content: Any = "hello", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


USER, ANSWER = _turn("user"), _turn("assistant")
CALL = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
TOOL = _turn("tool")

JSON_LINES = [
    Malformed("empty file", b"", 1, "no rows"),
    Malformed("blank lines only", b"\n \n\t\n", 1, "no rows"),
    Malformed("bom only", b"\xef\xbb\xbf", 1, "no rows"),
    Malformed("cut off in a string", GOOD + b'{"prompt": "a", "completion": "b', 2, "a string is not closed"),
    Malformed("cut off after a value", GOOD + b'{"prompt": "a"', 2, "ends in the middle"),
    Malformed("trailing garbage", GOOD + b'{"prompt": "a", "completion": "b"} x\n', 2, "follows the end"),
    Malformed("two objects on a line", GOOD.strip() + GOOD, 1, "follows the end"),
    Malformed("single quotes", b"{'prompt': 'a'}\n", 1, "double quotes"),
    Malformed("trailing comma", GOOD + b'{"prompt": "a",}\n', 2, "broken JSON"),
    Malformed("python's None", b'{"prompt": None}\n', 1, "a value is missing"),
    Malformed("missing colon", b'{"prompt" "a"}\n', 1, "a colon is missing"),
    Malformed("missing comma", b'{"prompt": "a" "completion": "b"}\n', 1, "a comma or a closing bracket"),
    Malformed("raw tab", b'{"prompt": "a\tb"}\n', 1, "control character"),
    Malformed("unknown escape", b'{"prompt": "C:\\d"}\n', 1, "this escape"),
    Malformed("comment", b"// rows\n" + GOOD, 1, "a value is missing"),
    Malformed("duplicate key", GOOD + b'{"prompt": "a", "prompt": "b"}\n', 2, "prompt is twice"),
    Malformed("duplicate key within", b'{"messages": [{"role": "user", "role": "tool"}]}\n', 1, "role is twice"),
    Malformed("NaN", b'{"prompt": NaN}\n', 1, "NaN is not JSON"),
    Malformed("Infinity", b'{"prompt": -Infinity}\n', 1, "Infinity is not JSON"),
    Malformed("1e999", b'{"prompt": 1e999}\n', 1, "too large"),
    Malformed("5000 digits", b'{"prompt": ' + b"9" * 5000 + b"}\n", 1, "300 digits"),
    Malformed("lone surrogate", b'{"prompt": "\\ud83d", "completion": "b"}\n', 1, "surrogate"),
    Malformed("lone surrogate in a key", b'{"\\uDC00": "a"}\n', 1, "surrogate"),
    Malformed("nested too deep", b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}\n", 1, "nested"),
    Malformed("nested far too deep", GOOD + b'{"a": ' + b"[" * 100_000 + b"\n", 2, "nested"),
    Malformed("list as a row", GOOD + b"[1]\n", 2, "this is a list"),
    Malformed("string as a row", GOOD + b'"x"\n', 2, "this is a string"),
    Malformed("number as a row", b"1\n", 1, "this is a number"),
    Malformed("null as a row", b"null\n", 1, "this is null"),
    Malformed("true as a row", b"true\n", 1, "this is true or false"),
    Malformed("array on a line", b'[{"prompt": "a"}]\n', 1, "this is a JSON array"),
    Malformed("array over lines", b'[\n{"prompt": "a"}\n]\n', 1, "this is a JSON array"),
    Malformed("pretty-printed", b'{\n"prompt": "a"\n}\n', 1, "spans several lines"),
    Malformed("pretty-printed list", b'{"messages": [\n]}\n', 1, "spans several lines"),
    Malformed("old Mac line ends", GOOD.strip() + b"\r" + GOOD, 1, "follows the end"),
]

BYTES = [
    Malformed("UTF-16 with mark", GOOD.decode().encode("utf-16"), 1, "the file begins like UTF-16 text"),
    Malformed("UTF-16 without mark", GOOD.decode().encode("utf-16-le"), 1, "byte 1 is zero: this looks like UTF-16"),
    Malformed("UTF-32", GOOD.decode().encode("utf-32"), 1, "UTF-32"),
    Malformed("Latin-1", GOOD + '{"prompt": "é"}\n'.encode("latin-1"), 2, f"byte {len(GOOD) + 12} is not UTF-8"),
    Malformed("a surrogate in bytes", b'{"prompt": "\xed\xa0\x80"}\n', 1, "byte 12 is not UTF-8"),
    Malformed("binary", b"{\x01\x02\x03\x04\x05\x00\x00", 1, "a binary file"),
    Malformed("gzip by another name", gzip.compress(GOOD, mtime=0), 1, "begins like gzip"),
    Malformed("Parquet by another name", b"PAR1\x15\x04", 1, "begins like Parquet"),
    Malformed("a zip by another name", b"PK\x03\x04\x14", 1, "a zip archive"),
    Malformed("no gzip", GOOD, 1, "not a gzip file", "rows.jsonl.gz"),
    Malformed("gzip cut off", gzip.compress(GOOD, mtime=0)[:-8], 1, "ends too early", "rows.jsonl.gz"),
    Malformed("damaged gzip", gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), 1, "damaged", "rows.jsonl.gz"),
    Malformed("Latin-1 in an array", '[\n{"prompt": "é"}]'.encode("latin-1"), 2, "byte 14 is not UTF-8", "rows.json"),
]

ARRAYS = [
    Malformed("empty", b"", 1, "the file is empty", "rows.json"),
    Malformed("no rows", b"[ ]", 1, "the array is empty", "rows.json"),
    Malformed("JSON Lines by another name", GOOD, 1, "name it .jsonl", "rows.json"),
    Malformed("a word", b"rows", 1, "must be an array", "rows.json"),
    Malformed("not closed", b"[\n" + GOOD, 3, "not closed", "rows.json"),
    Malformed("cut off in a row", b"[\n" + GOOD + b',\n{"prompt": "a",', 4, "ends in the middle", "rows.json"),
    Malformed("no comma", b"[\n" + GOOD + GOOD + b"]", 3, "a comma or the end", "rows.json"),
    Malformed("comma at the end", b"[\n" + GOOD + b",\n]", 4, "ends with a comma", "rows.json"),
    Malformed("two commas", b"[\n" + GOOD + b",,]", 3, "a value is missing", "rows.json"),
    Malformed("something after it", b"[" + GOOD + b"]\n[]", 3, "follows the end of the array", "rows.json"),
    Malformed(
        "an error far into a row", b'[\n{\n"a": 1,\n"b": x\n}' + b" " * 99 + b"]", 4, "a value is missing", "rows.json"
    ),
    Malformed("a row that is none", b"[\n" + GOOD + b",\n7]", 4, "this is a number", "rows.json"),
    Malformed("a duplicate key", b'[\n{"a": 1,\n"a": 2}]', 2, "a is twice", "rows.json"),
]

MESSAGES = [
    Malformed("no list", _row(messages="hello"), 1, "must be a list of messages"),
    Malformed("no messages", _row(messages=[]), 1, "not empty"),
    Malformed("no object", _chat("hello"), 1, "messages[0] must be an object"),
    Malformed("no role", _chat({"content": "a"}), 1, "messages[0].role is missing or unknown"),
    Malformed("unknown role", _chat(USER, _turn("bot")), 1, "messages[1].role is missing or unknown"),
    Malformed("role of a wrong type", _chat(_turn(["user"])), 1, "messages[0].role is missing or unknown"),
    Malformed("empty role", _chat(_turn("")), 1, "messages[0].role is missing or unknown"),
    Malformed("unknown key", _chat({**USER, "tool_call": 1}, ANSWER), 1, "did you mean tool_calls?"),
    Malformed("a weight", _chat(USER, {**ANSWER, "weight": 0}), 1, "the key weight"),
    Malformed("null content", GOOD.replace(b"prompt", b"p") + b"\n", 1, "no known format"),
    Malformed("content is null", _chat(USER, _turn("assistant", None)), 1, "messages[1].content is null"),
    Malformed("content is missing", _chat({"role": "user"}, ANSWER), 1, "messages[0].content is missing"),
    Malformed("content is a number", _chat(_turn("user", 7), ANSWER), 1, "messages[0].content must be text"),
    Malformed("an image", _chat(_turn("user", [{"type": "image_url"}]), ANSWER), 1, "messages[0].content must be text"),
    Malformed("an empty answer", _chat(USER, _turn("assistant", " \n")), 1, "there is no answer"),
    Malformed("no answer", _chat(USER), 1, "nothing to learn"),
    Malformed("assistant first", _chat(ANSWER), 1, "assistant cannot begin"),
    Malformed("system in the middle", _chat(USER, ANSWER, _turn("system")), 1, "system cannot follow assistant"),
    Malformed("two systems", _chat(_turn("system"), _turn("system"), USER, ANSWER), 1, "system cannot follow system"),
    Malformed("two users", _chat(USER, USER, ANSWER), 1, "join the two"),
    Malformed("a tool without a call", _chat(USER, ANSWER, TOOL), 1, "has called no tool"),
    Malformed("a tool first", _chat(TOOL, ANSWER), 1, "tool cannot begin"),
    Malformed("a call by the user", _chat({**CALL, "role": "user"}, ANSWER), 1, "only the assistant"),
    Malformed("a call without a name", _chat(USER, {**ANSWER, "tool_calls": [{"function": {}}]}), 1, "the tool's name"),
    Malformed("a call that is none", _chat(USER, {**ANSWER, "tool_calls": [7]}), 1, "tool_calls[0] must be a call"),
    Malformed(
        "arguments that are no object",
        _chat(USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": [1]}]}),
        1,
        "arguments must be an object",
    ),
    Malformed(
        "arguments that are no JSON",
        _chat(USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": "{a"}]}),
        1,
        "arguments must be JSON",
    ),
    Malformed("a name that is no text", _chat({**USER, "name": 7}, ANSWER), 1, "messages[0].name must be text"),
    Malformed("tools that are no list", _row(messages=[USER, ANSWER], tools={"a": 1}), 1, "tools must be a list"),
    Malformed("a tool without a name", _row(messages=[USER, ANSWER], tools=[{"type": "function"}]), 1, "tools[0]"),
]

FORMATS = [
    Malformed("unknown keys", GOOD + _row(question="a", answer="b"), 2, "has no completion and no prompt"),
    Malformed("a misspelled key", _row(mesages=[]), 1, "did you mean messages?"),
    Malformed("mixed formats", GOOD + GOOD + _row(text="a"), 3, "rows.jsonl:1 has"),
    Malformed("mixed text and messages", GOOD + _row(prompt=[USER], completion=[ANSWER]), 2, "in messages"),
    Malformed("a label in one row only", GOOD + _row(prompt="a", completion="b", label=True), 2, "the row has label"),
    Malformed("an empty completion", _row(prompt="a", completion=""), 1, "completion is empty"),
    Malformed("a null completion", GOOD + _row(prompt="a", completion=None), 2, "has no completion"),
    Malformed("a completion of a wrong type", _row(prompt="a", completion=7), 1, "completion must be text"),
    Malformed("a prompt of a wrong type", _row(prompt=7, completion="a"), 1, "prompt must be text"),
    Malformed("text and messages", _row(prompt="a", completion=[ANSWER]), 1, "must both be"),
    Malformed("an empty text", _row(text=" "), 1, "text is empty"),
    Malformed("a text of a wrong type", _row(text=[]), 1, "text must be text"),
    Malformed("a prompt alone for sft", _row(prompt="a"), 1, "sft learns from"),
    Malformed("sft rows for dpo", GOOD, 1, "dpo learns from preference", method="dpo"),
    Malformed("an empty rejected", _row(prompt="a", chosen="b", rejected=""), 1, "rejected is empty", method="dpo"),
    Malformed("no prompt", _row(chosen="b", rejected="c"), 1, "prompt is missing", method="dpo"),
    Malformed(
        "nothing shared",
        _row(chosen=[_turn("user", "a"), ANSWER], rejected=[_turn("user", "b"), ANSWER]),
        1,
        "share no beginning",
        method="dpo",
    ),
    Malformed(
        "another prompt",
        _row(prompt="x", chosen=[USER, ANSWER], rejected=[USER, _turn("assistant", "no")]),
        1,
        "not what chosen and rejected begin with",
        method="dpo",
    ),
    Malformed("a label of a wrong type", _row(prompt="a", completion="b", label=1), 1, "true or false", method="kto"),
    Malformed(
        "a label on a question", _row(messages=[USER, ANSWER, USER], label=True), 1, "must end with", method="kto"
    ),
    Malformed("a prompt that is answered", _row(prompt=[USER, ANSWER]), 1, "nothing to answer", method="grpo"),
    Malformed("an empty prompt", _row(prompt=""), 1, "prompt is empty", method="ppo"),
    Malformed("alpaca without an output", _row(instruction="a", output=""), 1, "output is empty"),
    Malformed("alpaca without a task", _row(instruction=" ", output="a"), 1, "instruction and input are both empty"),
    Malformed("alpaca with a wrong input", _row(instruction="a", input=7, output="a"), 1, "input must be text"),
    Malformed("alpaca with a wrong history", _row(instruction="a", output="b", history=[["c"]]), 1, "history"),
    Malformed("a comma after each row", GOOD.strip() + b",\n" + GOOD, 1, "follows the end"),
    Malformed("sharegpt without a list", _row(conversations="a"), 1, "conversations must be a list"),
    Malformed("sharegpt with roles", _row(conversations=[USER]), 1, "conversations[0] must be an object with from"),
    Malformed(
        "sharegpt with an unknown speaker",
        _row(conversations=[{"from": "x", "value": "a"}]),
        1,
        "conversations[0].from",
    ),
    Malformed(
        "sharegpt with a broken call",
        _row(conversations=[{"from": "human", "value": "a"}, {"from": "function_call", "value": "{"}]),
        1,
        "conversations[1].value must be JSON",
    ),
    Malformed(
        "sharegpt with a lone surrogate in a call",
        _row(
            conversations=[{"from": "human", "value": "a"}, {"from": "function_call", "value": '{"name": "\\ud800"}'}]
        ),
        1,
        "surrogate",
    ),
    Malformed(
        "sharegpt with broken tools",
        _row(conversations=[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], tools="[}"),
        1,
        "tools must be JSON",
    ),
    Malformed("chosen alone", _row(conversations=[{"from": "human", "value": "a"}], chosen={}), 1, "nothing to learn"),
    Malformed(
        "a chosen turn that is none",
        _row(conversations=[{"from": "human", "value": "a"}], chosen={}, rejected={}),
        1,
        "chosen[0] must be an object",
        method="dpo",
    ),
]

CASES = [*JSON_LINES, *BYTES, *ARRAYS, *MESSAGES, *FORMATS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.partition('.')[2]}: {case.name}")
def test_a_malformed_file_is_named_with_file_line_and_cause(case: Malformed, tmp_path: Path) -> None:
    """Each malformed file is refused, and the first problem names file, line and cause."""
    file = tmp_path / case.file
    file.write_bytes(case.content)

    with pytest.raises(DataError) as caught:
        check(Dataset(path=str(file)), case.method)

    first = caught.value.problems[0]
    assert f"{file}:{case.line}" == ":".join(first.where.split(":")[:2])
    assert case.cause in str(first)


@pytest.mark.parametrize("case", [case for case in CASES if b'"a' in case.content], ids=lambda case: case.name)
def test_content_is_never_repeated(case: Malformed, tmp_path: Path) -> None:
    """Whatever is wrong, an error repeats nothing of the rows."""
    file = tmp_path / case.file
    file.write_bytes(case.content.replace(b'"a', b'"' + CANARY.encode()).replace(b'"hello', b'"' + CANARY.encode()))

    with pytest.raises(DataError) as caught:
        check(Dataset(path=str(file)), case.method)

    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.to_dict()}"
