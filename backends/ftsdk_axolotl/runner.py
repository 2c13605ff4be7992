"""Do one Axolotl job in Axolotl's own Python, which finds ftsdk's few tools beside it and nothing else.

In the folder it finds ``job.yaml`` (Axolotl's configuration), ``request.json`` (what is more to know), ``rows.jsonl``
and ``held.jsonl`` (canonical rows). It leaves ``tokens/`` (rows as tokens and labels, by the same code as every other
engine's), ``tokenizer/``, Axolotl's own output, and ``result.json``, which rests on what was made.
"""

import os
import shutil
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from ftsdk.data.encoding import choose_padding
from ftsdk.engines import output, runner_support, tokens
from ftsdk.engines.runner_support import Request, Result
from ftsdk.engines.tokens import EncodedRow, text_columns

_PACKAGES = ("axolotl", "transformers", "trl", "peft", "torch")
_TRAIN = "from axolotl.cli.train import do_cli; do_cli('job.yaml')"
SCORES = "reward_modeling"
"""The method that reads a score at the end of a row."""
TOKENIZER = "tokenizer"
"""The folder of the tokenizer that Axolotl is given."""


def main(folder: str) -> int:
    """Do the job; 0 only if there are good weights."""
    return runner_support.run_request(folder, _work)


def _work(request: Request, result: Result) -> None:
    runner_support.download_model(request["model"], request["model_revision"])
    tokenizer = tokens.load_tokenizer(request)
    columns = Columns(request["method"])
    result |= tokens.write_tokens(request, tokenizer, columns)
    tokenizer = lay_tokenizer(request, tokenizer, columns.ends)
    output.drop_torn_checkpoints(Path(request["output"]))
    runner_support.run(
        [sys.executable, "-P", "-u", "-c", _TRAIN], runner_support.offline_environment() | {"PYTHONPATH": "tools"}
    )
    drop_strays(request)
    output.finish(request, tokenizer)
    result["versions"] = runner_support.versions(_PACKAGES)


class Columns:
    """Makes rows as Axolotl's trainers read them, and notes the tokens that end them.

    Args:
        method: What learns from the rows.
    """

    def __init__(self, method: str) -> None:
        self._scores = method == SCORES
        self._judged = method == "kto"
        self.ends: set[int] = set()

    def __call__(self, encoded: EncodedRow) -> Result:
        """Each text under its name; a reward model's trainer takes no more than the tokens."""
        self.ends |= {text.ids[-1] for text in encoded.texts.values()}
        if self._scores:
            return {f"{name}_ids": text.ids for name, text in encoded.texts.items()}
        return {**({"label": encoded.row["label"]} if self._judged else {}), **text_columns(encoded)}


def lay_tokenizer(request: Request, tokenizer: Any, ends: set[int]) -> Any:
    """Lay out the tokenizer for Axolotl, which needs a token to pad with, and give the one for the artifact.

    A reward is read at the last token that is no padding: there, it must be one that ends no row, and stays.
    """
    scores = request["method"] == SCORES
    padded = tokenizer if scores else deepcopy(tokenizer)
    choose_padding(padded, ends if scores else ())
    shutil.rmtree(TOKENIZER, ignore_errors=True)
    padded.save_pretrained(TOKENIZER)
    return tokenizer


def drop_strays(request: Request) -> None:
    """Beside an adapter, Axolotl lays the base's configuration, and after preferences its weights, adapted in part."""
    folder = Path(request["output"])
    generation = Path(request["model"], "generation_config.json")
    (folder / generation.name).unlink(missing_ok=True)  # Axolotl's samples
    if request["adapter"]:
        for stray in (*folder.glob("model*.safetensors*"), folder / "config.json"):
            stray.unlink(missing_ok=True)
    elif generation.is_file():
        shutil.copyfile(generation, folder / generation.name)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(sys.argv[1]))
