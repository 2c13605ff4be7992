"""The folder that an engine writes into: remove incomplete checkpoints, check the weights, add the tokenizer.

This module is copied beside engines, into their own Python; of ours it imports the runner support alone.
"""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from ftsdk.engines.runner_support import Request, RunnerError


def drop_torn_checkpoints(output: Path) -> Path | None:
    """Remove incomplete checkpoints that a killed run left, and return the newest complete one.

    Where none is complete, the folder is removed: there is nothing to continue from.
    """
    # Engines resume from the newest checkpoint without a check, and would fail, or train on from torn weights.
    complete = []
    for folder in sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        if _is_complete(folder):
            complete.append(folder)
        else:
            print(f"{folder} is incomplete, and is removed")  # noqa: T201 - the job's log
            shutil.rmtree(folder)
    if output.is_dir() and not complete:
        shutil.rmtree(output)
    return complete[-1] if complete else None


def _is_complete(folder: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    weights = list(folder.glob("*.safetensors"))
    needed = [folder / name for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")]
    try:
        json.loads((folder / "trainer_state.json").read_text("utf-8"))
        for path in weights:
            with safe_open(path, "pt"):
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    # PyTorch writes zip archives, whose directory comes last: a truncated one is no zip file any more.
    return bool(weights) and all(zipfile.is_zipfile(path) for path in needed)


def finish(request: Request, tokenizer: Any) -> None:
    """Check that there are weights, and save beside them the tokenizer that the rows were rendered with.

    Raises:
        RunnerError: There are none.
    """
    output = Path(request["output"])
    weights = "adapter_model.safetensors" if request["adapter"] else "model*.safetensors"
    if not any(output.glob(weights)):
        raise RunnerError("", "")
    tokenizer.save_pretrained(output)
    # a card of the engine's, and a pickle, which no artifact may hold
    for stray in ("README.md", "training_args.bin"):
        (output / stray).unlink(missing_ok=True)
    if request["adapter"]:
        config = output / "adapter_config.json"
        settings = json.loads(config.read_text("utf-8"))
        # The engine knows the base by a link in the job's folder or by a path of this machine.
        settings |= {"base_model_name_or_path": request["model"], "revision": request["model_revision"]}
        config.write_text(json.dumps(settings, indent=2), "utf-8")
