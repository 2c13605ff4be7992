"""Turn a pickle of tensors into safetensors, in a process of its own, which loads tensors and nothing else."""

import subprocess
import sys
from pathlib import Path

from ftsdk.errors import ArtifactError
from ftsdk.workers.environment import worker_environment

_SECONDS = 600.0
_PROGRAM = """
import sys
import torch
from safetensors.torch import save_file
tensors = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items() if hasattr(tensor, "contiguous")}
if not tensors:
    sys.exit("it has no tensors")
save_file(tensors, sys.argv[2], {"format": "pt"})
"""


def convert(pickle: Path, target: Path) -> None:
    """Write the tensors of a pickle as safetensors.

    Raises:
        ArtifactError: It has something other than tensors, or torch is not installed.
    """
    try:
        process = subprocess.run(
            # -I: neither the folder of the job nor the user's packages can put another torch in front.
            [sys.executable, "-I", "-c", _PROGRAM, str(pickle), str(target)],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=worker_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(f"{pickle.name} could not be converted in {_SECONDS:g} seconds") from error
    if process.returncode:
        target.unlink(missing_ok=True)
        lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
        hint = "pip install 'ftsdk[local]'" if "No module named" in process.stderr else "ask the trainer's maker"
        raise ArtifactError(f"{pickle.name} cannot be read as tensors alone: {lines[-1] if lines else ''}", hint=hint)
