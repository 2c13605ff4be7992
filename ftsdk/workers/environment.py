"""The environment variables of a worker: an allow-list, so that no key reaches a process that does not need it."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ftsdk.home import ENGINES, VARIABLE, engines, home

# An allow-list, because nobody can list the secrets: keys of clouds and services have any name, and an engine runs the
# code of hundreds of packages.
_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
        *(name for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (proxy, proxy.upper())),
    }
)
_PREFIXES = (
    *("LC_", "XDG_", "PYTHON"),
    *("CUDA_", "NVIDIA_", "NCCL_", "OMP_", "MKL_", "OPENBLAS_"),
    *("TORCH_", "PYTORCH_", "TRITON_", "BNB_", "HF_", "TOKENIZERS_", "TRANSFORMERS_"),
)
_TRACKERS = {
    "mlflow": ("MLFLOW_",),
    "tensorboard": (),
    "trackio": ("TRACKIO_",),
    "wandb": ("WANDB_",),
}
_NOT_FOR_ENGINES = ("PYTHON", "VIRTUAL_ENV", "FTSDK_")
_NO_TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def runner_environment(python: Path, report_to: Iterable[str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of an engine in its own Python.

    Args:
        python: The engine's interpreter; the programs beside it are found first.
        report_to: Experiment trackers whose keys the engine may have.
        settings: Variables for the engine itself.
    """
    # PYTHONPATH, VIRTUAL_ENV and our programs on PATH would make it import our packages, in versions that it excludes.
    variables = worker_environment(report_to)
    allowed = {name: value for name, value in variables.items() if not name.startswith(_NOT_FOR_ENGINES)}
    our_programs = Path(sys.executable).parent
    folders = [folder for folder in allowed.get("PATH", os.defpath).split(os.pathsep) if Path(folder) != our_programs]
    return {**allowed, "PATH": os.pathsep.join([str(python.parent), *folders]), **settings}


def worker_environment(report_to: Iterable[str] = ()) -> dict[str, str]:
    """The part of our environment that a worker needs: paths, hardware, the Hub, and the trackers that the spec names.

    Args:
        report_to: Experiment trackers whose keys the worker may have.
    """
    prefixes = _PREFIXES + tuple(prefix for tracker in report_to for prefix in _TRACKERS[tracker])
    allowed = {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(prefixes)}
    engines_folder = {ENGINES: str(engines())} if ENGINES in os.environ else {}
    return {**allowed, VARIABLE: str(home()), **engines_folder, **_NO_TELEMETRY}
