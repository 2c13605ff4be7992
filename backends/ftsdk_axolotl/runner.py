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

from ftsdk.kit.engines import desk, output, tokens
from ftsdk.kit.engines.desk import Request, Result
from ftsdk.kit.engines.tokens import Encoded

_PACKAGES = ("axolotl", "transformers", "trl", "peft", "torch")
_TRAIN = "from axolotl.cli.train import do_cli; do_cli('job.yaml')"
SCORES = "reward_modeling"
"""The method that reads a score at the end of a row."""
TOKENIZER = "tokenizer"
"""The folder of the tokenizer that Axolotl is given."""


def main(folder: str) -> int:
    """Do the job; 0 only if there are good weights."""
    return desk.do(folder, _work)


def _work(request: Request, result: Result) -> None:
    desk.bring_model(request["model"], request["model_revision"])
    tokenizer = tokens.load_tokenizer(request)
    columns = Columns(request["method"])
    result |= tokens.write_tokens(request, tokenizer, columns)
    tokenizer = lay_tokenizer(request, tokenizer, columns.ends)
    output.drop_torn_checkpoints(Path(request["output"]))
    desk.run([sys.executable, "-P", "-u", "-c", _TRAIN], desk.offline() | {"PYTHONPATH": "tools"})
    drop_strays(request)
    output.finish(request, tokenizer)
    result["versions"] = desk.versions(_PACKAGES)


class Columns:
    """Makes rows as Axolotl's trainers read them, and notes the tokens that end them.

    Args:
        method: What learns from the rows.
    """

    def __init__(self, method: str) -> None:
        self._scores = method == SCORES
        self._judged = method == "kto"
        self.ends: set[int] = set()

    def __call__(self, encoded: Encoded) -> Result:
        """Each text under its name; a reward model's trainer takes no more than the tokens."""
        row: Result = {"label": encoded.row["label"]} if self._judged else {}
        for name, (ids, labels) in encoded.texts.items():
            self.ends.add(ids[-1])
            if self._scores:
                row[f"{name}_ids"] = ids
                continue
            begin = "" if name == "text" else f"{name}_"
            row |= {f"{begin}input_ids": ids, f"{begin}attention_mask": [1] * len(ids), f"{begin}labels": labels}
        return row


def lay_tokenizer(request: Request, tokenizer: Any, ends: set[int]) -> Any:
    """Lay out the tokenizer for Axolotl, which needs a token to pad with, and give the one for the artifact.

    A reward is read at the last token that is no padding: there, it must be one that ends no row, and stays.
    """
    scores = request["method"] == SCORES
    padded = tokenizer if scores else deepcopy(tokenizer)
    if padded.pad_token_id is None or (scores and padded.pad_token_id in ends):
        padded.pad_token = padded.convert_ids_to_tokens(fitting_padding(padded, ends))
    shutil.rmtree(TOKENIZER, ignore_errors=True)
    padded.save_pretrained(TOKENIZER)
    return tokenizer


def fitting_padding(tokenizer: Any, ends: set[int]) -> int:
    """A token that ends no row: a special one, where there is any."""
    named = (tokenizer.unk_token_id, tokenizer.bos_token_id, *tokenizer.all_special_ids)
    others = sorted(tokenizer.get_vocab().values(), reverse=True)
    taken = ends | {tokenizer.eos_token_id}
    return next(found for found in (*named, *others) if found is not None and found not in taken)


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
