"""Read the datasets of a LLaMA-Factory file: names in ``dataset``, looked up in ``dataset_info.json``."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.importers.common import check_rows, own_template, shape_of
from ftsdk.importers.importer import ConfigReader
from ftsdk_llamafactory.importer.keys import DATASET

_INFO = "dataset_info.json"
_ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}
_SHAREGPT = {"messages": "conversations"}
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
"""LLaMA-Factory's defaults, where an entry has no columns or tags."""

_TAGS_OF_FORMAT: dict[str, dict[str, set[str]]] = {
    "sharegpt": {
        "role_tag": {"from"},
        "content_tag": {"value"},
        "user_tag": {"human", "user"},
        "assistant_tag": {"gpt", "assistant", "chatgpt", "model"},
        "observation_tag": {"observation", "tool"},
        "function_tag": {"function_call"},
        "system_tag": {"system"},
    },
    "messages": {
        "role_tag": {"role"},
        "content_tag": {"content"},
        "user_tag": {"user"},
        "assistant_tag": {"assistant"},
        "observation_tag": {"tool"},
        "system_tag": {"system"},
    },
}
"""What each of our formats understands."""

_MEDIA = ("images", "videos", "audios")
_RAW = "empty"
_NEVER_A_MODELS = frozenset({"alpaca", "default"})
_CHAT = "make the rows conversations of from and value"


class LlamaFactoryDataset(NamedTuple):
    """One dataset as a spec has it."""

    path: str
    shape: dict[str, Any]
    split: str | None = None


def read_datasets(reader: ConfigReader, stage: str, model: str) -> None:
    """Set ``dataset`` and ``eval_dataset``."""
    raw = _template(reader, model)
    if reader.has("tokenized_path") and Path(str(reader.value("tokenized_path"))).exists():
        reason = "LLaMA-Factory would train on the tokens that are there, whatever datasets the file names"
        reader.refuse("tokenized_path", reason, "remove it, or remove the folder")
    reader.drop("tokenized_path", "each job makes its own tokens")
    info = _info(reader)
    for key in ("dataset", "eval_dataset"):
        if reader.has(key):
            listed = reader.texts(key)
            datasets = [rows for name in listed if (rows := _entry(reader, key, name, info, stage, raw=raw))]
            if datasets and len(datasets) == len(listed):
                _set_dataset(reader, key, datasets)
        elif key == "dataset":
            reader.refuse(key, "LLaMA-Factory has nothing to train on without it")
    if (most := reader.number("max_samples")) is not None:
        for key in ("dataset", "eval_dataset"):
            paths = reader.fields.get(f"{key}.path", "")
            if isinstance(paths, tuple):
                reader.refuse("max_samples", "it counts for each of several datasets", f"cut the files of {key}")
            elif paths:
                reader.set_field(f"{key}.max_samples", most, "max_samples")


def _template(reader: ConfigReader, model: str) -> bool:
    """Note how rows are rendered; returns whether they are raw text."""
    name = reader.text("template", "")
    if name == _RAW:
        reader.note("template", "LLaMA-Factory writes no begin and end of a row; ftsdk writes the tokenizer's")
    elif name in _NEVER_A_MODELS:
        reason = "this chat template is LLaMA-Factory's own, and no model's"
        reader.refuse("template", reason, "write it into a Jinja file", field="dataset.chat_template")
    elif name:
        own_template(reader, "template", name, model)
    return name == _RAW


def _info(reader: ConfigReader) -> dict[str, Any] | None:
    """The content of ``dataset_info.json``; None where every name is a Hub dataset, or nothing can be read."""
    folder = reader.text("dataset_dir", "data")
    if folder == "ONLINE":
        return None
    path = Path(folder) / _INFO
    hint = f"it is looked for from the working directory, {Path.cwd()}: change there, or correct dataset_dir"
    try:
        info = json.loads(path.read_text("utf-8"))
        return info if isinstance(info, dict) else {}
    except OSError as error:
        reader.refuse("dataset_dir", f"there is no {path}: {error.strerror}", hint)
    except ValueError:
        reader.refuse("dataset_dir", f"{path} is not valid JSON", "correct it")
    return {}


def _entry(
    reader: ConfigReader, key: str, name: str, info: dict[str, Any] | None, stage: str, *, raw: bool
) -> LlamaFactoryDataset | None:
    """One named dataset; None where it was refused."""
    before = len(reader.refusals)
    if info is not None and not isinstance(info.get(name), dict):
        if info:
            names = ", ".join(list(info)[:8])
            reader.refuse(key, f"{_INFO} names no dataset {name}", f"it names {names}")
        return None
    part = reader.part(f"{_INFO}:{name}", {"hf_hub_url": name} if info is None else info[name], DATASET)
    path, split = _place(reader, part)
    shape, reads = _shape(part, stage, raw=raw)
    part.close()
    if shape and path:
        check_rows(part, "file_name", [path], shape, reads=reads)
    return LlamaFactoryDataset(path, shape, split) if len(reader.refusals) == before else None


def _place(reader: ConfigReader, part: ConfigReader) -> tuple[str, str | None]:
    split = part.text("split", "train")
    for key in ("hf_hub_url", "cloud_file_name"):
        if part.has(key):
            return part.text(key, ""), split
    if not part.has("file_name"):
        part.refuse("file_name", "the dataset has no location that ftsdk supports", "name a file, or hf_hub_url")
        return "", None
    path = Path(reader.text("dataset_dir", "data")) / part.text("file_name", "")
    if path.is_dir():
        part.refuse("file_name", "a folder cannot be read", "name its files in entries of their own")
    return str(path), None


def _shape(part: ConfigReader, stage: str, *, raw: bool) -> tuple[dict[str, Any], set[str]]:
    """The format and columns as a spec has it, and the keys of a row that LLaMA-Factory reads."""
    formatting, ranking = part.text("formatting", "alpaca"), part.flag("ranking")
    defaults = _ALPACA if formatting == "alpaca" else _SHAREGPT
    columns = _names(part, "columns", defaults)
    if media := [name for name in _MEDIA if columns.get(name)]:
        part.refuse("columns", f"{' and '.join(media)}: ftsdk trains on text")
    if ranking and not {"chosen", "rejected"} <= columns.keys():
        part.refuse("columns", "a ranking needs chosen and rejected")
    pairs = {name: columns.get(name) for name in ("chosen", "rejected") if ranking}
    if formatting == "alpaca":
        shape = _alpaca(part, columns, pairs, stage, raw=raw)
    elif formatting in ("sharegpt", "openai"):
        shape = _chat(part, columns, pairs, stage)
    else:
        part.refuse("formatting", "this format is not supported", "alpaca, sharegpt or openai")
        shape = {}
    return shape, {column for column in columns.values() if column}


def _names(part: ConfigReader, key: str, default: dict[str, str]) -> dict[str, str]:
    """A section from words to words."""
    section = part.section(key, default)
    if not all(isinstance(name, str | None) for name in section.values()):
        part.refuse(key, "expected words")
        return default
    return section


def _alpaca(
    part: ConfigReader, columns: dict[str, str], pairs: dict[str, str | None], stage: str, *, raw: bool
) -> dict[str, Any]:
    """Rows of single texts. Only ``empty`` leaves them as they are: else a chat template writes around them."""
    prompt, answer, label = columns.get("prompt"), columns.get("response"), columns.get("kto_tag")
    extra = [columns[name] for name in ("query", "history", "system", "tools") if columns.get(name)]
    if stage == "pt":
        if extra or answer:
            part.refuse("columns", "a text in several columns is not supported", "name one in prompt")
        return shape_of("text", text=prompt)
    if raw and not extra:
        if pairs:
            return shape_of("preference", prompt=prompt, **pairs)
        if stage == "kto":
            return shape_of("unpaired_preference", prompt=prompt, completion=answer, label=label)
        return shape_of("prompt_completion", prompt=prompt, completion=answer)
    if pairs or stage == "kto":
        part.refuse("formatting", "preferences in single texts would be learned without a chat template", _CHAT)
        return {}
    if raw:
        part.refuse("columns", "a raw prompt in several columns is not supported", "join them in the rows")
    if columns.get("tools"):
        part.refuse("columns", "tools of alpaca rows are not supported", _CHAT)
    if columns.get("query"):
        part.note("columns", "LLaMA-Factory puts a line break before the input of a row, ftsdk a blank line")
    columns_beside = {name: columns.get(name) for name in ("system", "history")}
    return shape_of("alpaca", instruction=prompt, input=columns.get("query"), output=answer, **columns_beside)


def _chat(part: ConfigReader, columns: dict[str, str], pairs: dict[str, str | None], stage: str) -> dict[str, Any]:
    if stage == "pt":
        part.refuse("formatting", "conversations are no plain text", "use stage: sft with train_on_prompt: true")
        return {}
    tags = _names(part, "tags", _TAGS)
    name = "messages" if tags.get("role_tag") == "role" else "sharegpt"
    odd = [
        f"{tag}: {tags[tag]}"
        for tag, names in _TAGS_OF_FORMAT[name].items()
        if tags.get(tag) and tags[tag] not in names
    ]
    if odd:
        part.refuse("tags", f"roles that ftsdk's {name} rows do not have ({', '.join(odd)})", "rename them in the rows")
    if name == "messages" and pairs:
        part.refuse("columns", "chosen and rejected are single messages, and ftsdk reads lists of them", _CHAT)
    if name == "messages" and columns.get("system"):
        part.refuse("columns", "a system text beside the messages", "make it the first message")
    columns_beside = {key: columns.get(key) for key in ("tools", "system")}
    label = {"label": columns.get("kto_tag")} if stage == "kto" else {}
    if name == "messages" and stage == "kto":
        return shape_of("unpaired_preference", messages=columns.get("messages"), tools=columns_beside["tools"], **label)
    if name == "messages":
        return shape_of("messages", messages=columns.get("messages"), tools=columns_beside["tools"])
    return shape_of("sharegpt", conversations=columns.get("messages"), **columns_beside, **pairs, **label)


def _set_dataset(reader: ConfigReader, key: str, datasets: list[LlamaFactoryDataset]) -> None:
    first = datasets[0]
    if any(rows.shape != first.shape or rows.split != first.split for rows in datasets[1:]):
        reader.refuse(key, "datasets of several formats, columns or splits", "convert their rows to one format")
        return
    reader.set_field(f"{key}.path", first.path if len(datasets) == 1 else tuple(rows.path for rows in datasets), key)
    for name, value in (first.shape | ({"split": first.split} if first.split else {})).items():
        reader.set_field(f"{key}.{name}", value, key)
