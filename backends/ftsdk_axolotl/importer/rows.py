"""Read the datasets of an Axolotl file: the lists ``datasets`` and ``test_datasets``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.importers.common import check_rows, first_row, own_template, shape_of
from ftsdk.importers.importer import ConfigReader
from ftsdk_axolotl.importer.keys import DATASET, INSTRUCT

_OWN_TEMPLATE = "tokenizer_default"
_FALLBACK = "tokenizer_default_fallback_"
_NEVER_A_MODELS = frozenset({"alpaca", "metharme"})
_SOURCES: Mapping[str, Mapping[str, set[str]]] = {
    "messages": {"user": {"user"}, "assistant": {"assistant"}, "system": {"system"}, "tool": {"tool"}},
    "sharegpt": {
        "user": {"human", "user"},
        "assistant": {"gpt", "assistant", "chatgpt", "model"},
        "system": {"system"},
        "tool": {"tool", "observation"},
    },
}
"""The names of roles that each of our formats accepts."""


_PROPERTIES = {"messages": ("role", "content"), "sharegpt": ("from", "value")}
_FORMAT = "dataset.format"
_CHAT = "make the rows conversations, with type: chat_template"

RowFormat = dict[str, Any]


class AxolotlDataset(NamedTuple):
    """One dataset as a spec has it."""

    paths: tuple[str, ...]
    shape: RowFormat
    train_on: str
    rest: RowFormat
    """The other fields of a dataset."""


def read_datasets(reader: ConfigReader, method: str, model: str) -> None:
    """Set ``dataset``, ``eval_dataset`` and ``method.train_on``."""
    for key, field in (("datasets", "dataset"), ("test_datasets", "eval_dataset")):
        listed = reader.value(key)
        if listed is None:
            if key == "datasets":
                reader.refuse(key, "Axolotl has nothing to train on without it")
            continue
        if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
            reader.refuse(key, "expected a list of datasets")
            continue
        datasets = [rows for entry in listed if (rows := _entry(reader, key, entry, method, model))]
        if listed and len(datasets) == len(listed):
            _set_dataset(reader, key, field, datasets, method)


def _set_dataset(reader: ConfigReader, key: str, field: str, datasets: list[AxolotlDataset], method: str) -> None:
    first = datasets[0]
    if any(rows._replace(paths=()) != first._replace(paths=()) for rows in datasets[1:]):
        reader.refuse(key, "datasets of several formats, columns, splits or masks", "convert their rows to one format")
        return
    paths = tuple(path for rows in datasets for path in rows.paths)
    reader.set_field(f"{field}.path", paths[0] if len(paths) == 1 else paths, key)
    for name, value in (first.shape | first.rest).items():
        reader.set_field(f"{field}.{name}", value, key)
    if method == "sft" and field == "dataset":
        reader.set_field("method.train_on", first.train_on, key)


def _entry(reader: ConfigReader, key: str, entry: Mapping[str, Any], method: str, model: str) -> AxolotlDataset | None:
    """One dataset; None where it was refused for good."""
    before = len(reader.refusals)
    part = reader.part(key, entry, DATASET)
    paths, rest = _place(part)
    kind = part.value("type")
    if isinstance(kind, dict):
        shape, reads, train_on = _user_defined(part, kind, method, on_prompt=reader.flag("train_on_inputs"))
    else:
        shape, reads, train_on = _named(reader, part, str(kind or ""), method)
    if shape.get("format") in _SOURCES or (
        shape.get("format") == "preference" and str(kind).startswith("chat_template")
    ):
        rest |= _template(reader, part, model)
    part.close()
    if shape and paths:
        check_rows(part, "path", paths, shape, reads=reads)
    unsettled = [refusal for refusal in reader.refusals[before:] if not refusal.field]
    return None if unsettled else AxolotlDataset(paths, shape, train_on, rest)


def _place(part: ConfigReader) -> tuple[tuple[str, ...], RowFormat]:
    """The paths of the rows, relative to the working directory, and the other fields of a dataset."""
    path, files = part.text("path", ""), part.texts("data_files")
    part.value("ds_type")
    rest: RowFormat = {}
    if part.has("revision"):
        rest["revision"] = part.text("revision", "")
    if part.has("split"):
        rest["split"] = part.text("split", "")
        if "[" in rest["split"]:
            part.refuse("split", "a slice of a split is not supported", "dataset.max_samples takes the first rows")
    if files:
        base = Path(path) if path and Path(path).is_dir() else Path()
        return tuple(str(base / name) for name in files), rest
    if not path:
        part.refuse("path", "a dataset needs a path")
        return (), rest
    if Path(path).is_dir():
        part.refuse("path", "a folder cannot be read", "name its files in data_files")
    return (path,), rest


def _named(reader: ConfigReader, part: ConfigReader, kind: str, method: str) -> tuple[RowFormat, set[str], str]:
    """The format for a named type, the keys that Axolotl reads, and which tokens are trained."""
    convert = _TYPES.get((method, kind))
    if convert is None:
        supported = ", ".join(name or "none" for type_method, name in _TYPES if type_method == method)
        reason = f"{kind or 'no type'}: Axolotl writes texts of its own around these rows"
        fix = f"types that are supported for {method}: {supported}" if supported else ""
        if kind.startswith("sharegpt"):
            reason, fix = f"{kind}: Axolotl no longer supports this type", "type: chat_template reads the same rows"
        part.refuse("type", reason, fix, field=_FORMAT)
        return {}, set(), "assistant"
    return convert(reader, part)


def _conversations(reader: ConfigReader, part: ConfigReader) -> tuple[RowFormat, set[str], str]:
    name, key = _speakers(part), part.text("field_messages", "messages")
    tools = part.text("field_tools", "tools")
    if reader.flag("train_on_inputs"):
        reason = "Axolotl trains on the words of every turn, and not on the marks between them"
        reader.refuse("train_on_inputs", reason, "method.train_on=all trains on both", field="method.train_on")
    roles = part.texts("roles_to_train", ["assistant"])
    if {*roles} - {"assistant", "gpt"} or not roles:
        part.refuse("roles_to_train", "ftsdk trains on the assistant's turns", "[assistant]", field="method.train_on")
    for mark in ("train_on_eos", "train_on_eot"):
        if part.value(mark, "turn") != "turn":
            part.refuse(mark, "the end of each trained turn is trained, and no other", f"{mark}: turn")
    key_of_messages = "messages" if name == "messages" else "conversations"
    return shape_of(name, **{key_of_messages: key, "tools": tools}), {key, tools}, "assistant"


def _speakers(part: ConfigReader) -> str:
    """Which of our two formats of conversations the rows have; other roles are refused."""
    mappings = part.section("message_property_mappings", {})
    properties = (
        part.value("message_field_role") or mappings.get("role", "role"),
        part.value("message_field_content") or mappings.get("content", "content"),
    )
    more = {key: value for key, value in mappings.items() if key not in ("role", "content") and key != value}
    name = next((name for name, pair in _PROPERTIES.items() if pair == properties), "")
    if not name or more:
        part.refuse("message_property_mappings", "messages have role and content, or from and value", "rename the keys")
        name = "messages"
    for role, sources in part.section("roles", {}).items():
        listed = sources if isinstance(sources, list) else [sources]
        if odd := [str(source) for source in listed if source not in _SOURCES[name].get(role, ())]:
            part.refuse("roles", f"{', '.join(odd)} as {role}: {name} rows do not have it", "rename the roles")
    return name


def _texts(reader: ConfigReader, part: ConfigReader) -> tuple[RowFormat, set[str], str]:
    key = part.text("field", "text")
    reader.value("train_on_inputs")
    part.note("type", "a text longer than sequence_len becomes several rows in Axolotl; ftsdk cuts it at the end")
    return shape_of("text", text=key), {key}, "all"


def _pairs(_: ConfigReader, part: ConfigReader) -> tuple[RowFormat, set[str], str]:
    """``chat_template.default``: a prompt in messages, and two answers."""
    if _speakers(part) != "messages":
        part.refuse("message_property_mappings", "a preference has messages of role and content", "rename the keys")
    keys = {"prompt": part.text("field_messages", "messages"), **_pair_columns(part)}
    return shape_of("preference", **keys), {*keys.values()}, "assistant"


def _whole_pairs(_: ConfigReader, part: ConfigReader) -> tuple[RowFormat, set[str], str]:
    """``chat_template.argilla``: two whole conversations."""
    if _speakers(part) != "messages":
        part.refuse("message_property_mappings", "a preference has messages of role and content", "rename the keys")
    keys = _pair_columns(part)
    return shape_of("preference", **keys), {*keys.values(), "prompt"}, "assistant"


def _pair_columns(part: ConfigReader) -> dict[str, str]:
    return {name: part.text(f"field_{name}", name) for name in ("chosen", "rejected")}


def _plain_pairs(_: ConfigReader, part: ConfigReader) -> tuple[RowFormat, set[str], str]:
    del part
    return shape_of("preference"), {"prompt", "chosen", "rejected"}, "assistant"


_TYPES: dict[tuple[str, str], Callable[[ConfigReader, ConfigReader], tuple[RowFormat, set[str], str]]] = {
    ("sft", "chat_template"): _conversations,
    ("sft", "completion"): _texts,
    ("dpo", "chat_template.default"): _pairs,
    ("dpo", "chat_template"): _pairs,
    ("dpo", "chat_template.argilla_chat"): _whole_pairs,
    ("dpo", "passthrough.default"): _plain_pairs,
    ("dpo", ""): _plain_pairs,
    ("orpo", "chat_template.argilla"): _whole_pairs,
}
"""From a method and a type to what reads it. All others write a text of their own around the rows."""

_FORMATS = {
    "sft": ("prompt_completion", {"prompt": "instruction", "completion": "output"}, ("format", "no_input_format")),
    "dpo": ("preference", {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}, ()),
    "kto": ("unpaired_preference", {"prompt": "prompt", "completion": "completion", "label": "label"}, ()),
}
"""From a method to its format of plain texts: our columns with the last part of ``field_...``."""


def _user_defined(
    part: ConfigReader, kind: Mapping[str, Any], method: str, *, on_prompt: bool
) -> tuple[RowFormat, set[str], str]:
    """A type that the user defines, which is supported only where it adds nothing to the texts."""
    if method not in _FORMATS:
        part.refuse("type", f"a type of one's own is not supported for {method}", _CHAT, field=_FORMAT)
        return {}, set(), ""
    inside = part.part("type", kind, INSTRUCT)
    name, columns, formats = _FORMATS[method]
    for key in formats:
        if inside.value(key, "") != "{instruction}":
            inside.refuse(key, "Axolotl writes a text around the prompt", "write '{instruction}', and the text as rows")
    for word in ("prompt", "chosen", "rejected", "completion"):
        if inside.value(f"{word}_format", f"{{{word}}}") != f"{{{word}}}":
            inside.refuse(f"{word}_format", "Axolotl writes a text around it", "write the text into the rows")
    keys = {column: inside.text(f"field_{suffix}", suffix) for column, suffix in columns.items()}
    if method == "sft" and inside.text("field_system", "system") in first_row(part.text("path", "")):
        inside.refuse("field_system", "the rows have a system text, which Axolotl writes before the prompt", _CHAT)
    inside.close()
    return shape_of(name, **keys), {*keys.values()}, "all" if on_prompt else "completion"


def _template(reader: ConfigReader, part: ConfigReader, model: str) -> RowFormat:
    """How messages are rendered; the dataset's own word counts before the file's."""
    where = part if part.has("chat_template") or part.has("chat_template_jinja") else reader
    jinja = where.value("chat_template_jinja")
    name = where.text("chat_template", "jinja" if jinja else _OWN_TEMPLATE)
    field = "dataset.chat_template"
    if name == "jinja":
        if jinja and Path(str(jinja)).is_file():
            return {"chat_template": str(jinja)}
        where.refuse("chat_template_jinja", "a template is a file here", "write it into a Jinja file", field=field)
    elif name.startswith(_FALLBACK):
        own_template(where, "chat_template", name.removeprefix(_FALLBACK), model)
    elif name in _NEVER_A_MODELS:
        reason = "this chat template is Axolotl's own, and no model's"
        where.refuse("chat_template", reason, "write it into a Jinja file", field=field)
    elif name != _OWN_TEMPLATE:
        own_template(where, "chat_template", name, model)
    return {}
