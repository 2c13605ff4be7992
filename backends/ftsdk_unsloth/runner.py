"""Run one Unsloth job in Unsloth's own Python, where only the modules of ftsdk that are copied beside it exist.

It reads ``job.json`` (Unsloth's calls and TRL's arguments), ``request.json`` (our request), ``rows.jsonl`` and
``held.jsonl`` (canonical rows). It writes ``tokens/`` and ``tokenizer/`` (rows as tokens and labels, by the same code
as for every engine), the training's output, and ``result.json``, which reports what was made.
The training itself is ``ftsdk_unsloth.train``, in a process without keys.
"""

import os
import sys

from ftsdk.data.row_labels import choose_padding
from ftsdk.engines import output, runner_support, tokens
from ftsdk.engines.runner_support import Request, Result
from ftsdk.engines.tokens import EncodedRow, text_columns

_PACKAGES = ("unsloth", "unsloth_zoo", "transformers", "trl", "peft", "torch")
_TRAIN = (sys.executable, "-P", "-u", "-m", "ftsdk_unsloth.train", "job.json")
_PAIR_COLUMNS = ("chosen_ids", "rejected_ids")


def main(folder: str) -> int:
    """Run the job; returns 0 only if there are good weights."""
    return runner_support.run_request(folder, _run_job)


def _run_job(request: Request, result: Result) -> None:
    runner_support.download_model(request["model"], request["model_revision"])
    tokenizer = tokens.load_tokenizer(request)
    columns = pair_columns if request["method"] == "reward_modeling" else labelled_columns
    result |= tokens.write_tokens(request, tokenizer, columns)
    choose_padding(tokenizer, _last_tokens() if request["method"] == "reward_modeling" else ())
    tokenizer.save_pretrained("tokenizer")
    runner_support.run(_TRAIN, runner_support.offline_environment() | {"PYTHONPATH": "tools"})
    output.finish(request, tokenizer)
    result["versions"] = runner_support.versions(_PACKAGES)


def labelled_columns(encoded: EncodedRow) -> Result:
    """The columns of each text with its labels; for KTO with the row's label."""
    return {**({"label": encoded.row["label"]} if "label" in encoded.row else {}), **text_columns(encoded)}


def pair_columns(encoded: EncodedRow) -> Result:
    """A pair for a reward model, which reads no labels."""
    return {f"{name}_ids": text.ids for name, text in encoded.texts.items()}


def _last_tokens() -> set[int]:
    """The tokens that end rows: a reward is read there, so padding must be another token."""
    import datasets

    parts = datasets.load_from_disk(tokens.FOLDER).values()
    return {ids[-1] for part in parts for column in _PAIR_COLUMNS for ids in part[column]}


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(sys.argv[1]))
