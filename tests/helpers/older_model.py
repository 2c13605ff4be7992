"""The tiny model in the form in which Transformers 4 wrote models, for engines that are still there."""

import json
import shutil
from pathlib import Path


def older_model(tiny: Path, target: Path, rows: int | None = None) -> Path:
    """Copy the tiny model into ``target``, with the files that Transformers 4 reads.

    Args:
        tiny: The packaged model.
        target: A folder that is not there yet.
        rows: Rows of the embeddings, padded beyond the tokenizer as many models' are; None: as they are.
    """
    shutil.copytree(tiny, target, ignore=shutil.ignore_patterns("ftsdk.json", "chat_template.jinja"))
    config = json.loads((target / "config.json").read_text("utf-8"))
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope["rope_theta"], "torch_dtype": config.pop("dtype"), "transformers_version": "4.48.0"}
    tokenizer = json.loads((target / "tokenizer_config.json").read_text("utf-8"))
    tokenizer.pop("backend")
    tokenizer |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": (tiny / "chat_template.jinja").read_text("utf-8"),
    }
    if rows:
        _pad(target / "model.safetensors", rows)
        config["vocab_size"] = rows
    (target / "config.json").write_text(json.dumps(config), "utf-8")
    (target / "tokenizer_config.json").write_text(json.dumps(tokenizer), "utf-8")
    return target


def _pad(path: Path, rows: int) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    name = "model.embed_tokens.weight"
    more = torch.zeros(rows - tensors[name].shape[0], tensors[name].shape[1], dtype=tensors[name].dtype)
    save_file({**tensors, name: torch.cat([tensors[name], more])}, path, {"format": "pt"})
