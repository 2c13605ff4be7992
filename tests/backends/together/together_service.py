"""A local service that behaves like Together AI's, as far as its fine-tuning client can tell; and breaks on command.

It is written from the published API description and the behaviour of the official client, and keeps no state but what
a test can read: files, jobs, and every request.
"""

import contextlib
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import http_service
import zstandard
from http_service import Answer, Fault, Request, StandIn, ranged, routes

from ftsdk.testing import weights

__all__ = ["KEY", "LIMITS", "LORA_ONLY", "MODEL", "Fault", "Request", "Service", "serving"]

KEY = "tgp_v1_test-key-that-must-come-out-nowhere"
MODEL = "Qwen/Qwen3-8B"
LORA_ONLY = "Qwen/Qwen3-235B"

LIMITS: dict[str, Any] = {
    "model_name": MODEL,
    "default_gradient_accumulation_steps": 8,
    "lora_training": {
        "default_rank": 16, "max_rank": 64, "min_batch_size": 8, "max_batch_size": 8, "max_batch_size_dpo": 8,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    },
    "full_training": {"min_batch_size": 8, "max_batch_size": 16, "max_batch_size_dpo": 8},
    "supports_full_training": True,
    "supports_tools": True, "supports_reasoning": True, "supports_vision": False, "merge_output_lora": True,
    "min_learning_rate": 1e-8, "max_learning_rate": 0.1,
    "max_num_epochs": 20, "max_num_evals": 100, "max_num_checkpoints": 10,
    "min_max_seq_length": 32, "max_seq_length_sft": 32768, "max_seq_length_dpo": 16384,
}  # fmt: skip


class Service(StandIn):
    """The state of the service, and its address."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.limits = {MODEL: LIMITS, LORA_ONLY: {**LIMITS, "supports_full_training": False}}
        self.seconds = 0.5
        self.ends = "completed"
        self.events: list[dict[str, Any]] = []
        """Events at a job's end, beside the usual."""
        self.price: dict[str, Any] = {
            "estimation_available": True, "estimated_total_price": 5.5, "allowed_to_proceed": True,
        }  # fmt: skip
        self.file_ends = "COMPLETED"
        self.file_error = ""
        self.remembers_halves = False
        """Whether a file whose bytes never came counts as there."""
        self.list_lag = 0.0
        self.archive: Callable[[dict[str, Any], str], bytes] = lora_archive

    def refusal(self, request: Request) -> Answer | None:
        """Every request needs a key, except an upload to an address that the service has given out."""
        if request.path.startswith("/v1/") and request.headers.get("Authorization") != f"Bearer {KEY}":
            return 401, {"error": {"message": "Invalid API key", "type": "invalid_request_error"}}, {}
        return None

    @property
    def creations(self) -> int:
        """How many creations were requested."""
        return self.count("POST", "/v1/fine-tunes")

    def add_job(self, body: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Make a job."""
        now = time.time()
        number = len(self.jobs) + 1
        job = {
            **body, "id": f"ft-{number:08x}-cafe", "created": now, "created_at": _iso(now), "updated_at": _iso(now),
            "user_id": "u", "seconds": self.seconds, "cancelled": None,
            "ends": "user_error" if body.get("suffix", "").startswith("fails") else self.ends, **changes,
        }  # fmt: skip
        job["model_output_name"] = f"me/{body.get('model', 'model').rpartition('/')[2]}-{body.get('suffix', '')}"
        self.jobs[job["id"]] = job
        return job


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _timeline(job: dict[str, Any]) -> list[tuple[float, str]]:
    begin, seconds = job["created"], job["seconds"]
    line = [(0.0, "pending"), (0.1, "queued"), (0.2, "running"), (0.8, "uploading"), (1.0, job["ends"])]
    line = [(begin + share * seconds, word) for share, word in line]
    if job["cancelled"]:
        at = job["cancelled"]
        line = [entry for entry in line if entry[0] <= at] + [(at, "cancel_requested"), (at + 0.05, "cancelled")]
    return line


def _past(job: dict[str, Any]) -> list[tuple[float, str]]:
    return [entry for entry in _timeline(job) if entry[0] <= time.time()]


_EVENTS = {
    "pending": ("job_pending", "Job created"),
    "queued": ("training_data_downloading", "Queued"),
    "running": ("TRAINING_START", "Training started"),
    "uploading": ("checkpoint_save", "Saved a checkpoint"),
    "completed": ("job_complete", "Job finished"),
    "error": ("job_error", "Internal error"),
    "user_error": ("JOB_USER_ERROR", "Row 3 has no content"),
    "cancel_requested": ("cancel_requested", "Cancellation requested"),
    "cancelled": ("job_stopped", "Job cancelled"),
}


def _events(service: Service, job: dict[str, Any]) -> list[dict[str, Any]]:
    events = []
    for at, word in _past(job):
        kind, message = _EVENTS.get(word, ("warning", word))
        level = "error" if "error" in kind.lower() else "info"
        events.append({"object": "fine-tune-event", "created_at": _iso(at), "type": kind, "message": message,
                     "level": level, "step": 4 if kind == "checkpoint_save" else 0})  # fmt: skip
        if word == job["ends"]:
            events += [{"object": "fine-tune-event", "created_at": _iso(at), **event} for event in service.events]
    return events[::-1]  # newest first: no order is promised


def _metrics(job: dict[str, Any]) -> list[dict[str, Any]]:
    begin, now = job["created"] + 0.2 * job["seconds"], time.time()
    moments = [begin + 0.1 * step * job["seconds"] for step in range(1, 5)]
    end = job["cancelled"] or now
    return [
        {"timestamp": int(at * 1e9), "train/global_step": step, "train/loss": 2.0 / step, "train/learning_rate": 1e-4}
        for step, at in enumerate(moments, start=1)
        if at <= min(now, end)
    ]


def _public_job(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    hidden = {"created", "ends", "seconds", "cancelled", "wandb_key", "hf_api_token"}
    steps = len(_metrics(job))
    return {
        **{name: value for name, value in job.items() if name not in hidden},
        "status": _past(job)[-1][1],
        "total_steps": 4,
        "steps_completed": steps,
        "progress": {"estimate_available": True, "seconds_remaining": 3},
        "events": _events(service, job),
    }


def tar_zst(files: dict[str, bytes]) -> bytes:
    """An archive as Together's are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return zstandard.ZstdCompressor(write_checksum=True).compress(packed.getvalue())


def lora_files(job: dict[str, Any]) -> dict[str, bytes]:
    """The files in an adapter's archive."""
    kind = job["training_type"]
    config = {"peft_type": "LORA", "r": kind["lora_r"], "lora_alpha": kind["lora_alpha"]}
    config["base_model_name_or_path"] = job.get("model")
    tensors = weights.safetensors({"lora_A.weight": (kind["lora_r"], 64), "lora_B.weight": (64, kind["lora_r"])})
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": tensors}


def lora_archive(job: dict[str, Any], part: str) -> bytes:
    """What a download is: the adapter, or a complete model."""
    if part in ("merged", "model_output_path") or job["training_type"]["type"] == "Full":
        return tar_zst({"config.json": b"{}", "model.safetensors": weights.safetensors({"w": (8, 8)})})
    return tar_zst(lora_files(job))


def _begin_upload(service: Service, request: Request) -> Answer:
    form = request.body
    file_ids = [file_id for file_id, file in service.files.items() if file["checksum_"] == form["checksum"]]
    if file_ids and (service.remembers_halves or file_ids[0] in service.contents):
        return 409, {"file_id": file_ids[0]}, {}
    file_id = f"file-{len(service.files) + 1}"
    service.files[file_id] = {
        "id": file_id, "object": "file", "filename": form["file_name"], "bytes": 0, "created_at": 1, "purpose":
        form["purpose"], "FileType": form["file_type"], "checksum_": form["checksum"], "processing_status": "PENDING",
    }  # fmt: skip
    return 302, {}, {"Location": f"{service.url}/storage/{file_id}", "X-Together-File-Id": file_id}


def _store(service: Service, request: Request, file_id: str) -> Answer:
    raw = request.body if isinstance(request.body, bytes) else json.dumps(request.body).encode()
    service.contents[file_id] = raw
    return 200, {}, {}


def _preprocess(service: Service, _request: Request, file_id: str) -> Answer:
    file = service.files[file_id]
    if file_id not in service.contents:
        return 400, {"message": "no content"}, {}
    file["bytes"] = len(service.contents[file_id])
    file["processing_status"] = "RUNNING"
    return 200, _file(file), {}


def _file(file: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in file.items() if not name.endswith("_")}


def _describe_file(service: Service, _request: Request, file_id: str) -> Answer:
    if file_id not in service.files:
        return 404, {"message": "no such file"}, {}
    file = service.files[file_id]
    answer = _file(file)
    if file["processing_status"] == "RUNNING":
        file["processing_status"] = service.file_ends
        if service.file_error:
            file["validation_report"] = {"valid": False, "error_type": "INVALID_FORMAT", "error": service.file_error}
    return 200, answer, {}


def _create(service: Service, request: Request) -> Answer:
    file = service.files.get(request.body.get("training_file"))
    if file is None:
        return 400, {"error": {"message": "training_file does not exist"}}, {}
    job = service.add_job(request.body)
    return 200, _public_job(service, job), {}


def _list(service: Service, _request: Request) -> Answer:
    old = [job for job in service.jobs.values() if time.time() >= job["created"] + service.list_lag]
    odd = {"id": "ft-odd", "status": "brand_new_word", "created_at": None, "suffix": None, "surprise": [1]}
    return 200, {"data": [*(_public_job(service, job) for job in old[::-1]), odd]}, {}


def _of_job(act: Callable[[Service, Request, dict[str, Any]], Answer]) -> Callable[..., Answer]:
    def with_job(service: Service, request: Request, job_id: str) -> Answer:
        job = service.jobs.get(job_id)
        return act(service, request, job) if job else (404, {"message": "no such job"}, {})

    return with_job


def _cancel(service: Service, _request: Request, job: dict[str, Any]) -> Answer:
    if _past(job)[-1][1] in ("completed", "error", "user_error", "cancelled"):
        return 400, {"message": "job is done"}, {}
    job["cancelled"] = job["cancelled"] or time.time()
    return 200, _public_job(service, job), {}


def _retrieve(service: Service, _request: Request, job: dict[str, Any]) -> Answer:
    return 200, {name: value for name, value in _public_job(service, job).items() if name != "suffix"}, {}


def _limits(service: Service, request: Request) -> Answer:
    limits = service.limits.get(request.query.get("model_name", ""))
    return (200, limits, {}) if limits else (404, {"message": "model cannot be fine-tuned"}, {})


def _download(service: Service, request: Request) -> Answer:
    job = service.jobs.get(request.query.get("ft_id", ""))
    if job is None:
        return 404, {"message": "no such job"}, {}
    archive = service.archive(job, request.query.get("checkpoint", ""))
    tag = f'"{hashlib.sha256(archive).hexdigest()[:16]}"'
    return ranged(archive, tag, request)


Service.routes = routes(
    [
        ("POST", "/v1/files", _begin_upload),
        ("PUT", "/storage/([^/]+)", _store),
        ("POST", "/v1/files/([^/]+)/preprocess", _preprocess),
        ("GET", "/v1/files/([^/]+)", _describe_file),
        ("GET", "/v1/fine-tunes/models/limits", _limits),
        ("POST", "/v1/fine-tunes/estimate-price", lambda service, _: (200, service.price, {})),
        ("POST", "/v1/fine-tunes", _create),
        ("GET", "/v1/fine-tunes", _list),
        ("POST", "/v1/fine-tunes/([^/]+)/cancel", _of_job(_cancel)),
        ("GET", "/v1/fine-tunes/([^/]+)/events", _of_job(lambda s, _, job: (200, {"data": _events(s, job)}, {}))),
        ("GET", "/v1/fine-tunes/([^/]+)/metrics", _of_job(lambda _s, _r, job: (200, {"metrics": _metrics(job)}, {}))),
        ("GET", "/v1/fine-tunes/([^/]+)", _of_job(_retrieve)),
        ("GET", "/v1/finetune/download", _download),
    ]
)


@contextlib.contextmanager
def serving() -> Iterator[Service]:
    """A service on a free port of this machine, until the block ends."""
    with http_service.serving(Service()) as running:
        yield running
