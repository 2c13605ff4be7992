"""Download the results of a job: streamed, unpacked safely, sealed in ftsdk's one layout."""

import functools
import importlib.metadata
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ftsdk.artifact import Artifact, Kind, Manifest, place, seal
from ftsdk.artifact.model_files import ADAPTER_CONFIG, artifact_kind
from ftsdk.errors import ArtifactError, FtsdkError, JobNotReady, RejectedError
from ftsdk.job_types import JobState
from ftsdk.remote.archive import unpack
from ftsdk.remote.download import download
from ftsdk.remote.timestamps import parse_timestamp
from ftsdk_together.api import Json, TogetherApi
from ftsdk_together.errors import ERROR_MAPPER
from ftsdk_together.monitor import OutputId, last_metrics, restart_chain
from ftsdk_together.states import state_of

_REQUEST = (
    *("model", "from_checkpoint", "n_epochs", "n_evals", "n_checkpoints", "batch_size", "learning_rate"),
    *("lr_scheduler", "warmup_ratio", "max_grad_norm", "weight_decay", "random_seed", "packing", "max_seq_length"),
    *("training_type", "training_method", "training_file", "validation_file", "suffix"),
)
"""Fields of a job that the manifest repeats; no keys are among them."""


def fetch(api: TogetherApi, native_id: str, folder: Path) -> Artifact:
    """Download the artifact that a native id names into a folder.

    Raises:
        JobNotReady: The job has no artifact yet.
        ArtifactError: The download is damaged or unsafe, or no such artifact exists.
    """
    output, job = OutputId.parse(native_id).output, restart_chain(api, native_id)[-1]
    state = state_of(str(job.get("status") or ""))
    if state is not JobState.SUCCEEDED and not (output.isdecimal() and state.done):
        raise JobNotReady(
            f"together:{native_id} is {state.value}: it has no artifact yet",
            ref=f"together:{native_id}",
            hint="wait until it has succeeded; of a job that ended early, ID:STEP is a checkpoint",
        )
    return place(functools.partial(_fill, api, native_id, output, job), folder)


def _fill(api: TogetherApi, native_id: str, output: str, job: Json, folder: Path) -> None:
    query = {"ft_id": job["id"], **_output_query(output, job)}
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        archive = Path(scratch) / "archive"
        try:
            with ERROR_MAPPER.translate_errors("send the artifact"):
                download(lambda headers: api.download(query, headers), archive, api.timing.retry_policy)
        except RejectedError as error:
            hint = "ftsdk logs shows the checkpoints; not every model has a merged one"
            raise ArtifactError(error.message, hint=hint) from error
        unpack(archive, folder)
    kind = artifact_kind(folder)
    if kind == "adapter":
        _check_adapter(folder, job)
    seal(folder, _manifest(api, native_id, job, kind))


def _output_query(output: str, job: Json) -> Json:
    if output.isdecimal():
        return {"checkpoint_step": int(output)}
    lora = _training_type(job).get("type") == "Lora"
    return {"checkpoint": output or ("adapter" if lora else "model_output_path")}


def _check_adapter(folder: Path, job: Json) -> None:
    """Check that the adapter is the one that was requested."""
    try:
        config: Any = json.loads((folder / ADAPTER_CONFIG).read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{ADAPTER_CONFIG} is no JSON", hint="fetch again") from error
    requested = _training_type(job)
    for peft_name, native in (("r", "lora_r"), ("lora_alpha", "lora_alpha")):
        actual = config.get(peft_name) if isinstance(config, dict) else None
        if requested.get(native) is not None and actual != requested[native]:
            raise ArtifactError(f"the adapter has {peft_name}={actual}, and the job requested {requested[native]}")


def _manifest(api: TogetherApi, native_id: str, job: Json, kind: Kind) -> Manifest:
    method = job.get("training_method")
    return Manifest(
        kind=kind,
        base_model=str(job.get("model") or job.get("from_checkpoint") or "unknown"),
        method=str(method.get("method") or "sft") if isinstance(method, dict) else "sft",
        plan={name: job[name] for name in _REQUEST if job.get(name) is not None},
        versions={"together": importlib.metadata.version("together")},
        metrics=_metrics(api, job),
        created=parse_timestamp(job.get("updated_at")) or datetime.now(UTC),
        job=f"together:{native_id}",
    )


def _metrics(api: TogetherApi, job: Json) -> dict[str, float]:
    """The last metrics; none where Together does not answer, because the weights can do without."""
    try:
        return last_metrics(api.metrics(str(job["id"])))
    except FtsdkError:
        return {}


def _training_type(job: Json) -> Json:
    training_type = job.get("training_type")
    return training_type if isinstance(training_type, dict) else {}
