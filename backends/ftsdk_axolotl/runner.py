"""Run one Axolotl job in Axolotl's own Python, where only the modules of ftsdk that are copied beside it exist.

It reads ``job.yaml`` (Axolotl's configuration), ``request.json`` (our request), ``rows.jsonl`` and ``held.jsonl``
(canonical rows). It writes ``tokens/`` (rows as tokens and labels, by the same code as for every engine),
``tokenizer/``, Axolotl's own output, and ``result.json``, which reports what was made.
"""

import os
import shutil
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from ftsdk.data.row_labels import choose_padding
from ftsdk.engines import output, runner_support, tokens
from ftsdk.engines.runner_support import Request, Result
from ftsdk.engines.tokens import EncodedRow, text_columns

_PACKAGES = ("axolotl", "transformers", "trl", "peft", "torch")
_TRAIN = "from axolotl.cli.train import do_cli; do_cli('job.yaml')"
SCORES = "reward_modeling"
"""The method that reads a score at the end of a row."""
TOKENIZER = "tokenizer"
"""The folder of the tokenizer that Axolotl loads."""


def main(folder: str) -> int:
    """Run the job; returns 0 only if there are good weights."""
    return runner_support.run_request(folder, _run_job)


def _run_job(request: Request, result: Result) -> None:
    runner_support.download_model(request["model"], request["model_revision"])
    tokenizer = tokens.load_tokenizer(request)
    columns = Columns(request["method"])
    result |= tokens.write_tokens(request, tokenizer, columns)
    tokenizer = save_tokenizer(request, tokenizer, columns.ends)
    output.drop_torn_checkpoints(Path(request["output"]))
    runner_support.run(
        [sys.executable, "-P", "-u", "-c", _TRAIN], runner_support.offline_environment() | {"PYTHONPATH": "tools"}
    )
    remove_strays(request)
    output.finish(request, tokenizer)
    result["versions"] = runner_support.versions(_PACKAGES)


class Columns:
    """Makes rows as Axolotl's trainers read them, and collects the tokens that end them.

    Args:
        method: The method.
    """

    def __init__(self, method: str) -> None:
        self._scores = method == SCORES
        self._unpaired = method == "kto"
        self.ends: set[int] = set()

    def __call__(self, encoded: EncodedRow) -> Result:
        """The columns of each text; a reward model's trainer takes the tokens alone."""
        self.ends |= {text.ids[-1] for text in encoded.texts.values()}
        if self._scores:
            return {f"{name}_ids": text.ids for name, text in encoded.texts.items()}
        return {**({"label": encoded.row["label"]} if self._unpaired else {}), **text_columns(encoded)}


def save_tokenizer(request: Request, tokenizer: Any, ends: set[int]) -> Any:
    """Save the tokenizer for Axolotl, which needs a padding token, and return the one for the artifact."""
    # A reward is read at the last token that is not padding. So a reward model needs a padding token that ends no row,
    # and its artifact needs the same one.
    scores = request["method"] == SCORES
    padded = tokenizer if scores else deepcopy(tokenizer)
    choose_padding(padded, ends if scores else ())
    shutil.rmtree(TOKENIZER, ignore_errors=True)
    padded.save_pretrained(TOKENIZER)
    return tokenizer


def remove_strays(request: Request) -> None:
    """Remove files of Axolotl that are no part of the artifact."""
    # Beside an adapter, Axolotl saves the base's configuration, and after preference methods partly adapted weights.
    folder = Path(request["output"])
    generation = Path(request["model"], "generation_config.json")
    (folder / generation.name).unlink(missing_ok=True)  # Axolotl sets sampling in it
    if request["adapter"]:
        for stray in (*folder.glob("model*.safetensors*"), folder / "config.json"):
            stray.unlink(missing_ok=True)
    elif generation.is_file():
        shutil.copyfile(generation, folder / generation.name)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(sys.argv[1]))
