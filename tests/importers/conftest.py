import json

import pytest

import ftsdk

DATASETS = {
    "chat": {
        "file_name": "chat.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    },
    "identity": {"file_name": "identity.json"},
    "plain": {"file_name": "plain.jsonl", "columns": {"prompt": "question", "response": "answer"}},
    "second": {"file_name": "second.jsonl", "columns": {"prompt": "question", "response": "answer"}},
    "talks": {"hf_hub_url": "org/talks", "formatting": "sharegpt", "split": "train_sft"},
    "pairs": {
        "file_name": "pairs.json",
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
    },
    "judged": {
        "file_name": "judged.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "kto_tag": "label"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    },
    "text": {"file_name": "text.jsonl", "columns": {"prompt": "text"}},
}
"""A ``dataset_info.json`` with an entry for each shape of rows."""


@pytest.fixture
def import_text(tmp_path, monkeypatch):
    """Imports the text of a file; the datasets' names are LLaMA-Factory's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(DATASETS))

    def run(text, *overrides, source=None):
        (tmp_path / "original.yaml").write_text(text, encoding="utf-8")
        return ftsdk.import_config("original.yaml", source, overrides)

    return run


@pytest.fixture
def refusals(import_text):
    """From each refused key to its problem."""

    def run(text, *overrides):
        with pytest.raises(ftsdk.SpecError) as caught:
            import_text(text, *overrides)
        return {problem.where: str(problem) for problem in caught.value.problems}

    return run
