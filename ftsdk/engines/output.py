"""The folder that an engine writes into: torn checkpoints go, weights are proven, the tokenizer is laid beside them.

It stands beside engines in their own Python, and needs nothing of ours but the desk.
"""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from ftsdk.engines.runner_support import Request, RunnerError


def drop_torn_checkpoints(output: Path) -> Path | None:
    """Remove what a killed run left half written, and give the newest whole checkpoint.

    Engines go on from the newest checkpoint without a look. Where none is whole, the folder goes: there is nothing to
    go on from.
    """
    good = []
    for folder in sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        if _is_whole(folder):
            good.append(folder)
        else:
            print(f"{folder} is torn, and is removed")  # noqa: T201 - the job's log
            shutil.rmtree(folder)
    if output.is_dir() and not good:
        shutil.rmtree(output)
    return good[-1] if good else None


def _is_whole(folder: Path) -> bool:
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
    return bool(weights) and all(zipfile.is_zipfile(path) for path in needed)


def finish(request: Request, tokenizer: Any) -> None:
    """See that there are weights, and lay beside them the tokenizer that the rows were rendered with.

    Raises:
        Failure: There are none.
    """
    output = Path(request["output"])
    wanted = "adapter_model.safetensors" if request["adapter"] else "model*.safetensors"
    if not any(output.glob(wanted)):
        raise RunnerError("", "")
    tokenizer.save_pretrained(output)
    for stray in ("README.md", "training_args.bin"):
        (output / stray).unlink(missing_ok=True)
    if request["adapter"]:
        config = output / "adapter_config.json"
        told = json.loads(config.read_text("utf-8"))
        told |= {"base_model_name_or_path": request["model"], "revision": request["model_revision"]}
        config.write_text(json.dumps(told, indent=2), "utf-8")
