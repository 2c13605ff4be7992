"""Real datasets from the Hub pass, and nothing of them is lost."""

import json
from pathlib import Path

import pytest

from ftsdk.data import check, rows
from ftsdk.spec import Dataset


@pytest.mark.parametrize(
    ("name", "method", "format_", "count"),
    [
        ("alpaca_en_demo.json", "sft", "messages", 999),
        ("glaive_toolcall_en_demo.json", "sft", "messages", 300),
        ("c4_demo.jsonl", "sft", "text", 300),
        ("dpo_en_demo.json", "dpo", "preference", 300),
        ("dpo_en_demo.json", "reward_modeling", "preference", 300),
        ("kto_en_demo.json", "kto", "unpaired_preference", 300),
    ],
)
def test_real_files_pass(name: str, method: str, format_: str, count: int, shared_data: Path) -> None:
    """Each demonstration file is recognised and passes in full."""
    report = check(Dataset(path=str(shared_data / name)), method)

    assert (format_, count) == (report.format, report.rows)


def test_lines_of_an_array_are_true(shared_data: Path) -> None:
    """Each row's line in a pretty-printed array is the one of its opening brace."""
    file = shared_data / "kto_en_demo.json"
    text = file.read_text(encoding="utf-8").splitlines()

    assert {"{"} == {text[row.line - 1].strip() for row in rows(Dataset(path=str(file)), "kto")}


def test_tool_calls_survive_conversion(shared_data: Path) -> None:
    """Every function call of the ShareGPT file is found in the messages, with its name and arguments."""
    file = shared_data / "glaive_toolcall_en_demo.json"
    turns = [turn for row in json.loads(file.read_text(encoding="utf-8")) for turn in row["conversations"]]
    calls = [json.loads(turn["value"]) for turn in turns if turn["from"] == "function_call"]

    converted = [
        call["function"]
        for row in rows(Dataset(path=str(file)), "sft")
        for message in row.value["messages"]
        for call in message.get("tool_calls", [])
    ]

    assert [call["name"] for call in calls] == [call["name"] for call in converted]
    assert all(isinstance(call["arguments"], dict) for call in converted)
