"""Do one LLaMA-Factory job in LLaMA-Factory's own Python, which finds ftsdk's few tools beside it and nothing else.

In the folder it finds ``job.yaml`` (LLaMA-Factory's configuration), ``request.json`` (what is more to know),
``rows.jsonl`` and ``held.jsonl`` (canonical rows). It leaves ``tokens/`` (rows as tokens and labels, by the same code
as every other engine's), LLaMA-Factory's own output, and ``result.json``, which rests on what was made.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ftsdk.kit.desk import Failure, Request, Result, bring_model, do, offline, same, versions
from ftsdk.kit.encoding import IGNORED, PLAIN_TEMPLATE, Refused, encode_pair, encode_row

_PACKAGES = ("llamafactory", "transformers", "trl", "peft", "torch")
_TRAIN = "from llamafactory.cli import main; main()"
_RESOLVE = (
    "import json, sys, yaml; from llamafactory.hparams import get_train_args;"
    " parts = get_train_args(yaml.safe_load(open('job.yaml')));"
    " told = {name: value for part in parts for name, value in vars(part).items()};"
    " json.dump(told, open('resolved.json', 'w'), default=str)"
)
_STAND_INS = "stand-ins"
"""The folder of modules that LLaMA-Factory imports and does not use: its torchaudio fits no PyTorch of today."""
_PIECE = 1000  # rows
_READ_OTHERWISE = frozenset({"report_to"})
"""Settings that come back as something else: ``none`` becomes an empty list."""


def main(folder: str) -> int:
    """Do the job; 0 only if there are good weights."""
    return do(folder, _work)


def _work(request: Request, result: Result) -> None:
    bring_model(request["model"], request["model_revision"])
    tokenizer = load_tokenizer(request)
    result |= write_tokens(request, tokenizer)
    check_settings(request["config"])
    drop_torn_checkpoints(Path(request["output"]))
    train()
    finish(request, tokenizer)
    result["versions"] = versions(_PACKAGES)


# 1. Rows as tokens.


def load_tokenizer(request: Request) -> Any:
    """The model's tokenizer, with the template that the spec names, or a plain one where it has none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(request["model"], trust_remote_code=request["trust_remote_code"])
    except (OSError, ValueError, KeyError) as error:
        raise Failure("engine_error", f"the tokenizer of {request['model']} cannot be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise Failure("engine_error", f"the tokenizer of {request['model']} is not a fast one (no tokenizer.json)")
    tokenizer.chat_template = request["chat_template"] or tokenizer.chat_template or PLAIN_TEMPLATE
    return tokenizer


def write_tokens(request: Request, tokenizer: Any) -> Result:
    """Write ``tokens/`` as LLaMA-Factory reads it; give the number of rows, and of those that were cut."""
    import datasets

    counts = {"rows": 0, "truncated": 0}
    parts = {"train": "rows.jsonl", "validation": "held.jsonl"}
    encoded = {
        part: _dataset(_encoded(Path(name), request, tokenizer, counts))
        for part, name in parts.items()
        if Path(name).is_file()
    }
    shutil.rmtree("tokens", ignore_errors=True)
    datasets.DatasetDict(encoded).save_to_disk("tokens")
    return counts


def _dataset(rows: Iterator[dict[str, Any]]) -> Any:
    """Rows as a table, made piece by piece: all of them as Python's own numbers could fill the memory."""
    import datasets

    pieces = []
    while piece := list(islice(rows, _PIECE)):
        pieces.append(datasets.Dataset.from_list(piece))
    return datasets.concatenate_datasets(pieces)


def _encoded(path: Path, request: Request, tokenizer: Any, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    longest = request["max_length"]
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            try:
                if request["method"] == "sft":
                    texts = {"": encode_row(row, tokenizer, request["train_on"])}
                else:
                    texts = dict(zip(("chosen_", "rejected_"), encode_pair(row, tokenizer), strict=True))
            except Refused as refusal:
                raise Failure("data_error", f"{path.stem} {number}: {refusal}; {refusal.fix}".rstrip("; ")) from refusal
            counts["rows"] += 1
            counts["truncated"] += any(len(ids) > longest for ids, _ in texts.values())
            columns: dict[str, Any] = {"images": None, "videos": None, "audios": None}
            for name, (ids, labels) in texts.items():
                if all(label == IGNORED for label in labels[1:longest]):
                    what = "no token carries loss within training.max_length"
                    raise Failure("data_error", f"{path.stem} {number}: {what}; raise it, or remove the row")
                columns[f"{name}input_ids"] = ids[:longest]
                columns[f"{name}attention_mask"] = [1] * len(ids[:longest])
                columns[f"{name}labels"] = labels[:longest]
            yield columns


# 2. LLaMA-Factory.


def check_settings(config: dict[str, Any]) -> None:
    """Let LLaMA-Factory read its configuration, and compare what it took with what it was given."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _RESOLVE], env=offline(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise Failure("engine_error", f"LLaMA-Factory refuses its configuration: {last}")
    resolved = json.loads(Path("resolved.json").read_text("utf-8"))
    other = [
        f"{name}={resolved.get(name)!r} instead of {value!r}"
        for name, value in config.items()
        if name not in _READ_OTHERWISE and name in resolved and not same(_joined(resolved[name]), value)
    ]
    missing = [name for name in config if name not in resolved]
    if other or missing:
        raise Failure("engine_error", f"LLaMA-Factory would train with other settings: {', '.join([*other, *missing])}")


def _joined(value: Any) -> Any:
    """LLaMA-Factory splits words at commas."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def drop_torn_checkpoints(output: Path) -> None:
    """Remove what a killed run left half written: LLaMA-Factory goes on from the newest checkpoint without a look."""
    good = []
    for folder in sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        if _is_whole(folder):
            good.append(folder)
        else:
            print(f"{folder} is torn, and is removed")
            shutil.rmtree(folder)
    if output.is_dir() and not good:
        shutil.rmtree(output)


def _is_whole(folder: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    weights = list(folder.glob("*.safetensors"))
    needed = [folder / name for name in ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth")]
    try:
        json.loads((folder / "trainer_state.json").read_text("utf-8"))
        for path in weights:
            with safe_open(path, "pt"):
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    return bool(weights) and all(zipfile.is_zipfile(path) for path in needed[1:])


def train() -> None:
    """Run it to its end, and pass on what it prints."""
    Path(_STAND_INS).mkdir(exist_ok=True)
    Path(_STAND_INS, "torchaudio.py").write_text('"""Imported for sound, of which there is none here."""\n', "utf-8")
    command = [sys.executable, "-P", "-u", "-c", _TRAIN, "train", "job.yaml"]
    environment = offline() | {"PYTHONPATH": _STAND_INS}
    status = subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL).returncode
    if status:
        raise Failure("", "")


# 3. What it made.


def finish(request: Request, tokenizer: Any) -> None:
    """See that there are weights, and lay beside them the tokenizer that the rows were rendered with.

    Raises:
        Failure: There are none.
    """
    output = Path(request["output"])
    wanted = "adapter_model.safetensors" if request["adapter"] else "model*.safetensors"
    if not any(output.glob(wanted)):
        raise Failure("", "")
    tokenizer.save_pretrained(output)
    for stray in ("README.md", "training_args.bin"):
        (output / stray).unlink(missing_ok=True)
    if request["adapter"]:
        config = output / "adapter_config.json"
        told = json.loads(config.read_text("utf-8"))
        told["base_model_name_or_path"] = request["model"]
        config.write_text(json.dumps(told, indent=2), "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(sys.argv[1]))
