"""What the scripts in an engine's own Python have in common. It needs nothing of ours, and is laid beside them."""

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
"""An engine needs no token: the model is here, and it shall upload nothing. In a Space, AutoTrain would pause it."""


class RunnerError(Exception):
    """The job has failed, and this is why.

    Args:
        kind: The reason, from ftsdk's closed list; empty where the log must tell.
        message: What happened; empty, too, where the log must tell.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def run_request(folder: str, work: Callable[[Request, Result], None]) -> int:
    """Read ``request.json`` in a folder, do the work there, and leave ``result.json``; 0 only if all went well."""
    os.chdir(folder)
    Path("result.json").unlink(missing_ok=True)  # of an earlier attempt: it must not speak for one that is killed
    request: Request = json.loads(Path("request.json").read_text("utf-8"))
    result: Result = {"state": "succeeded"}
    try:
        work(request, result)
    except RunnerError as failure:
        result = {"state": "failed", "kind": failure.kind, "message": str(failure)}
    Path("result.json").write_text(json.dumps(result, indent=2), "utf-8")
    return int(result["state"] != "succeeded")


def download_model(name: str, revision: str | None) -> None:
    """Bring a Hub model at its commit, and lay a link with its name into the folder: loaders look there first.

    So an engine takes that commit, whatever it knows of revisions, and needs neither the Hub nor a token.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    if Path(name).is_absolute():
        return
    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py"]
    try:
        found = snapshot_download(name, revision=revision, allow_patterns=wanted)
    except GatedRepoError as error:
        raise RunnerError("gated_model", f"{name} is gated: ask for access on its page, then set HF_TOKEN") from error
    except (OSError, HfHubHTTPError) as error:
        raise RunnerError("engine_error", f"{name} cannot be had from the Hub: {error}") from error
    link = Path(name)
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():  # from an earlier attempt
        link.symlink_to(found, target_is_directory=True)


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
    """Run an engine to its end, and pass on what it prints. A wish to stop reaches it, and is for it alone.

    Raises:
        Failure: It ended with another status than 0; its log tells why.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # a handler, because it is not inherited
    try:
        status = subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL).returncode
    finally:
        signal.signal(signal.SIGTERM, before)
    if status == -signal.SIGKILL:
        raise RunnerError("oom", "the engine was killed by the system, as it does where main memory runs out")
    if status:
        raise RunnerError("", "")


def values_match(told: Any, given: Any) -> bool:
    """Whether an engine kept a value; it reads numbers as it likes."""
    return told == given or (isinstance(given, float) and told is not None and float(told) == given)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Of what took part."""
    from importlib.metadata import version

    return {name: version(name) for name in names}
