"""Train with Unsloth by ``job.json``: ``PYTHONPATH=tools python -P -m ftsdk_unsloth.train job.json``.

This module is copied beside Unsloth, into its own Python; in the engine's folder, rows are tokens already.
"""

import unsloth  # noqa: F401, I001 - first of all: it patches what is imported after it

import json
import sys
from pathlib import Path
from typing import Any

import datasets
from transformers import AutoTokenizer, EarlyStoppingCallback
from transformers.trainer_callback import PrinterCallback

from ftsdk.engines.runner_support import RunnerError
from ftsdk.engines.output import drop_torn_checkpoints
from ftsdk.engines.recorder import Recorder
from ftsdk_unsloth import models, trainers


def main(path: str) -> None:
    """Train, from the newest whole checkpoint where there is one, and save the weights."""
    config = json.loads(Path(path).read_text("utf-8"))
    output = Path(config["arguments"]["output_dir"])
    checkpoint = drop_torn_checkpoints(output)
    try:
        model, trainer = _prepared(config)
    except RunnerError as failure:
        sys.exit(f"error: {failure}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    models.save(model, config, output)


def _prepared(config: dict[str, Any]) -> tuple[Any, Any]:
    """The model and its trainer, in which every setting is as requested."""
    tokenizer = AutoTokenizer.from_pretrained(config["tokenizer"])
    parts = datasets.load_from_disk(config["tokens"])
    model = models.load(config, tokenizer)
    trainer = trainers.make_trainer(config, model, tokenizer, parts["train"], parts.get("validation"))
    models.hold_in_float32(model)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Recorder())
    if config["early_stopping"]["early_stopping_patience"] is not None:
        trainer.add_callback(EarlyStoppingCallback(**config["early_stopping"]))
    return model, trainer


if __name__ == "__main__":
    main(sys.argv[1])
