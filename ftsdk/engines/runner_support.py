"""What runners in an engine's own Python have in common.

This module is copied beside them, and imports nothing of ours.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Result = dict[str, Any]

KEYS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SPACE_ID")
"""Removed from an engine's environment.

It needs no token: the model is on this disk, and it must not upload. With SPACE_ID, AutoTrain would pause its Space.
"""


class RunnerError(Exception):
    """The job has failed, for a reason that the runner knows.

    Args:
        kind: The reason, from ftsdk's closed list; empty where it is to be found in the log.
        message: What happened; empty, too, where it is to be found in the log.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def run_request(folder: str, work: Callable[[Request, Result], None]) -> int:
    """Read ``request.json`` in a folder, do the work there, and write ``result.json``; 0 only if it succeeded."""
    os.chdir(folder)
    Path("result.json").unlink(missing_ok=True)  # an earlier result must not pass for that of a killed attempt
    request: Request = json.loads(Path("request.json").read_text("utf-8"))
    result: Result = {"state": "succeeded"}
    try:
        work(request, result)
    except RunnerError as failure:
        result = {"state": "failed", "kind": failure.kind, "message": str(failure)}
    Path("result.json").write_text(json.dumps(result, indent=2), "utf-8")
    return int(result["state"] != "succeeded")


def download_model(name: str, revision: str | None) -> None:
    """Download a Hub model at its commit, and put a link with its name into the working folder.

    Raises:
        RunnerError: It cannot be downloaded.
    """
    # Loaders prefer a folder of that name to the Hub. So an engine takes exactly this commit, even where it has no
    # setting for revisions, and runs without network and token.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    if Path(name).is_absolute():
        return
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py"]
    try:
        snapshot = snapshot_download(name, revision=revision, allow_patterns=patterns)
    except GatedRepoError as error:
        raise RunnerError("gated_model", f"{name} is gated: ask for access on its page, then set HF_TOKEN") from error
    except (OSError, HfHubHTTPError) as error:
        raise RunnerError("engine_error", f"{name} cannot be downloaded from the Hub: {error}") from error
    link = Path(name)
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():  # from an earlier attempt
        link.symlink_to(snapshot, target_is_directory=True)


def version_mismatch(config: Mapping[str, Any], reader: str) -> str:
    """Why an engine's older Transformers would misread a model; empty where it would not.

    Args:
        config: The model's ``config.json``.
        reader: The version that the engine has.
    """
    version = str(config.get("transformers_version", "4"))
    if version.partition(".")[0] >= "5" or "rope_parameters" in config:
        return (
            f"the model was saved by Transformers {version}, whose files Transformers {reader} misreads in silence "
            "(rotary embeddings, tokenizer)"
        )
    return ""


def offline_environment() -> dict[str, str]:
    """The environment of an engine: without keys, and without the Hub."""
    return {name: value for name, value in os.environ.items() if name not in KEYS} | {"HF_HUB_OFFLINE": "1"}


def run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run an engine to its end; it prints to our output.

    Raises:
        RunnerError: It ended with another status than 0; the reason is in its log.
    """
    # SIGTERM goes to the whole group and is meant for the engine, which saves a checkpoint; the runner must outlive it.
    # A handler instead of SIG_IGN, because a child inherits that a signal is ignored, but no handler.
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        status = subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL).returncode
    finally:
        signal.signal(signal.SIGTERM, previous)
    if status == -signal.SIGKILL:
        raise RunnerError("oom", "the engine was killed by the system, as happens where main memory runs out")
    if status:
        raise RunnerError("", "")


def values_match(actual: Any, expected: Any) -> bool:
    """Whether an engine kept a value; a number may have become a text or another type of number."""
    return actual == expected or (isinstance(expected, float) and actual is not None and float(actual) == expected)


def versions(names: Iterable[str]) -> dict[str, str]:
    """The installed versions of packages."""
    from importlib.metadata import version

    return {name: version(name) for name in names}
