"""Download the weights of a training: streamed, recognized by their bytes, unpacked safely, sealed in one layout."""

import functools
import importlib.metadata
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, Manifest, place, seal
from ftsdk.artifact.model_files import ADAPTER_CONFIG, CONFIG, artifact_kind, is_model_file, is_pickled_model
from ftsdk.errors import ArtifactError, JobNotReady, RejectedError
from ftsdk.job_types import JobState
from ftsdk.remote.archive import unpack
from ftsdk.remote.download import download
from ftsdk.remote.retries import status_code
from ftsdk.remote.timestamps import parse_timestamp
from ftsdk_replicate.api import Json, ReplicateApi, is_replicate_address
from ftsdk_replicate.errors import ERROR_MAPPER
from ftsdk_replicate.monitor import last_metrics
from ftsdk_replicate.pickles import convert
from ftsdk_replicate.states import state_of

CONVERT = "FTSDK_CONVERT_PICKLE"
"""The variable by which a user asks for weights in a pickle to be turned into safetensors."""
_MARKUP = (b"<!do", b"<htm", b"<?xm", b"<HTM", b"<!DO")
_TOKEN_REQUIRED = frozenset({401, 403})
_EXPIRY_HINT = "Replicate keeps outputs for a limited time; those of predictions for an hour"


def fetch(api: ReplicateApi, training_id: str, folder: Path, *, convert_pickle: bool) -> Artifact:
    """Download the weights of a training into a folder.

    Raises:
        JobNotReady: The training has no weights yet.
        ArtifactError: The weights are damaged, unsafe, or deleted.
    """
    training = api.training(training_id)
    state = state_of(str(training.get("status") or ""))
    if state is not JobState.SUCCEEDED:
        raise JobNotReady(
            f"replicate:{training_id} is {state.value}: it has no weights", ref=f"replicate:{training_id}"
        )
    return place(functools.partial(_fill, api, training_id, training, convert_pickle), folder)


def weights_of(training: Json) -> str:
    """The address of the weights, from any shape of output.

    Raises:
        ArtifactError: There is none.
    """
    output = training.get("output")
    address = output.get("weights") if isinstance(output, dict) else output
    if isinstance(address, list) and len(address) == 1:
        address = address[0]
    if not isinstance(address, str) or not address.startswith(("https://", "http://")):
        is_deleted = bool(training.get("data_removed"))
        problem = "Replicate has deleted the output" if is_deleted else "there is no address of the weights"
        hint = _EXPIRY_HINT if is_deleted else "see ftsdk logs"
        raise ArtifactError(f"{problem} of replicate:{training.get('id')}", hint=hint)
    if not address.startswith("https://") and not is_replicate_address(address):
        raise ArtifactError("the weights are at an address that is not encrypted", hint="ask the trainer's maker")
    return address


def _fill(api: ReplicateApi, training_id: str, training: Json, convert_pickle: bool, folder: Path) -> None:
    address = weights_of(training)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        packed, unpacked = Path(scratch) / "packed", Path(scratch) / "unpacked"
        unpacked.mkdir()
        _download(api, address, packed)
        _unpack(packed, unpacked)
        source = _model_folder(unpacked)
        _copy_model(source, folder, convert_pickle=convert_pickle)
    seal(folder, _manifest(training_id, training, folder))


def _download(api: ReplicateApi, address: str, packed: Path) -> None:
    """Download without the token, and with it where that is refused."""
    # Most outputs need no token, and their addresses may be those of a third party.
    for with_token in (False, True):
        opened = functools.partial(api.download, address, with_token=with_token)
        try:
            with ERROR_MAPPER.translate_errors("send the weights"):
                download(opened, packed, api.timing.retry_policy)
        except Exception as error:
            code = status_code(error.__cause__ or error)
            if code in _TOKEN_REQUIRED and not with_token and is_replicate_address(address):
                continue
            if isinstance(error, RejectedError) or code in _TOKEN_REQUIRED:
                raise ArtifactError(
                    f"the weights are not available any more (HTTP {code})", hint=_EXPIRY_HINT
                ) from error
            raise
        return


def _unpack(packed: Path, folder: Path) -> None:
    """Unpack an archive, recognized by its bytes: a trainer may name its file as it likes."""
    with packed.open("rb") as file:
        start = file.read(16)
    if start[:4] in _MARKUP:
        raise ArtifactError("a page for browsers came instead of weights", hint=_EXPIRY_HINT)
    if len(start) > 8 and start[8:9] == b"{":  # safetensors: eight bytes of length, then JSON
        raise ArtifactError(
            "the output is a bare tensor file, without the configuration of the model",
            hint="let the trainer put adapter_config.json or config.json beside them",
        )
    unpack(packed, folder)


def _model_folder(folder: Path) -> Path:
    """The folder of a model or an adapter, at any depth; the one nearest to the top."""
    configs = [path for name in (ADAPTER_CONFIG, CONFIG) for path in folder.rglob(name)]
    if not configs:
        names = ", ".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())[:10])
        raise ArtifactError(f"neither an adapter nor a model came, but: {names}", hint="ask the trainer's maker")
    return min(configs, key=lambda path: len(path.parts)).parent


def _copy_model(source: Path, folder: Path, *, convert_pickle: bool) -> None:
    """Copy the files of a model; weights in a pickle are refused, or converted where the user asks for that."""
    for path in sorted(path for path in source.iterdir() if path.is_file()):
        if is_model_file(path.name):
            shutil.copyfile(path, folder / path.name)
        elif is_pickled_model(path.name):
            target = folder / path.with_suffix(".safetensors").name.replace("pytorch_model", "model")
            if (source / target.name).is_file():
                continue  # the same weights are there as safetensors
            if not convert_pickle:
                raise ArtifactError(
                    f"{path.name} is a pickle, which can run code when it is loaded",
                    hint=f"export {CONVERT}=1, fetch again: it is then read as tensors alone, in a process of its own",
                )
            convert(path, target)


def _manifest(training_id: str, training: Json, folder: Path) -> Manifest:
    output = training.get("output")
    result = output.get("version") if isinstance(output, dict) else None
    inputs = training.get("input")
    plan: dict[str, Any] = {
        "trainer": training.get("model"),
        "version": training.get("version"),
        "input": inputs,
        "made": result,
    }
    return Manifest(
        kind=artifact_kind(folder),
        base_model=_base_model(folder) or f"{training.get('model')}:{training.get('version')}",
        method=str(inputs.get("method") or "sft") if isinstance(inputs, dict) else "sft",
        plan={name: value for name, value in plan.items() if value is not None},
        versions={"replicate": importlib.metadata.version("replicate")},
        metrics=last_metrics(training),
        created=parse_timestamp(training.get("completed_at")) or datetime.now(UTC),
        job=f"replicate:{training_id}",
    )


def _base_model(folder: Path) -> str:
    """The base model that an adapter names."""
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return ""
    try:
        config: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{ADAPTER_CONFIG} is no JSON", hint="fetch again") from error
    return str(config.get("base_model_name_or_path") or "") if isinstance(config, dict) else ""
