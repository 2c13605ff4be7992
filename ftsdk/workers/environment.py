"""The environment that a worker is given: an allow-list, so that no key leaks into a process without need of it."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ftsdk.home import ENGINES, VARIABLE, engines, home

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
_OURS = ("PYTHON", "VIRTUAL_ENV", "FTSDK_")
_NO_TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def runner_environment(python: Path, report_to: Iterable[str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of an engine in a Python of its own: nothing of ours leads it back to our packages.

    Args:
        python: The engine's interpreter; the programs beside it are found first.
        report_to: Experiment trackers whose keys the engine may have.
        settings: Variables that the engine heeds.
    """
    ours = {name: value for name, value in worker_environment(report_to).items() if not name.startswith(_OURS)}
    beside_us = Path(sys.executable).parent
    others = [place for place in ours.get("PATH", os.defpath).split(os.pathsep) if Path(place) != beside_us]
    return {**ours, "PATH": os.pathsep.join([str(python.parent), *others]), **settings}


def worker_environment(report_to: Iterable[str] = ()) -> dict[str, str]:
    """The part of our environment that a worker needs: paths, hardware, the Hub, and the trackers that were asked for.

    Args:
        report_to: Experiment trackers whose keys the worker may have.
    """
    prefixes = _PREFIXES + tuple(prefix for tracker in report_to for prefix in _TRACKERS[tracker])
    allowed = {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(prefixes)}
    chosen = {ENGINES: str(engines())} if ENGINES in os.environ else {}
    return {**allowed, VARIABLE: str(home()), **chosen, **_NO_TELEMETRY}
