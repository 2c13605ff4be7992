"""Do one Unsloth job in Unsloth's own Python, which finds ftsdk's few tools beside it and nothing else.

In the folder it finds ``job.json`` (Unsloth's calls and TRL's arguments), ``request.json`` (what is more to know),
``rows.jsonl`` and ``held.jsonl`` (canonical rows). It leaves ``tokens/`` and ``tokenizer/`` (rows as tokens and labels,
by the same code as every other engine's), what the training makes, and ``result.json``, which rests on what was made.
The training itself is ``ftsdk_unsloth.train``, in a process without keys.
"""

import os
import sys

from ftsdk.data.encoding import choose_padding
from ftsdk.engines import output, runner_support, tokens
from ftsdk.engines.runner_support import Request, Result
from ftsdk.engines.tokens import EncodedRow, text_columns

_PACKAGES = ("unsloth", "unsloth_zoo", "transformers", "trl", "peft", "torch")
_TRAIN = (sys.executable, "-P", "-u", "-m", "ftsdk_unsloth.train", "job.json")
_SIDES = ("chosen_ids", "rejected_ids")


def main(folder: str) -> int:
    """Do the job; 0 only if there are good weights."""
    return runner_support.run_request(folder, _work)


def _work(request: Request, result: Result) -> None:
    runner_support.download_model(request["model"], request["model_revision"])
    tokenizer = tokens.load_tokenizer(request)
    columns = judged_columns if request["method"] == "reward_modeling" else taught_columns
    result |= tokens.write_tokens(request, tokenizer, columns)
    choose_padding(tokenizer, _last_tokens() if request["method"] == "reward_modeling" else ())
    tokenizer.save_pretrained("tokenizer")
    runner_support.run(_TRAIN, runner_support.offline_environment() | {"PYTHONPATH": "tools"})
    output.finish(request, tokenizer)
    result["versions"] = runner_support.versions(_PACKAGES)


def taught_columns(encoded: EncodedRow) -> Result:
    """Each text under its name, with its labels; KTO's verdict beside it."""
    return {**({"label": encoded.row["label"]} if "label" in encoded.row else {}), **text_columns(encoded)}


def judged_columns(encoded: EncodedRow) -> Result:
    """A pair for a reward model, which reads no labels."""
    return {f"{name}_ids": text.ids for name, text in encoded.texts.items()}


def _last_tokens() -> set[int]:
    """The tokens that end rows."""
    import datasets

    parts = datasets.load_from_disk(tokens.FOLDER).values()
    return {ids[-1] for part in parts for side in _SIDES for ids in part[side]}


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(sys.argv[1]))
