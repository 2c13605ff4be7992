"""A local service that behaves like Replicate's trainings, as strict as those are known to be; breaks on command."""

import contextlib
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import http_service
from http_service import Answer, Fault, Request, StandIn, ranged, routes

from ftsdk.testing import weights

__all__ = ["CHAT", "HEX", "KEY", "SCHEMAS", "TRAINER", "Fault", "Service", "serving", "zipped"]

KEY = "r8_TestTokenThatMustComeOutNowhere000000000"
ME = "me"


def _inputs(required: list[str], **properties: Any) -> dict[str, Any]:
    numbered = {
        name: {"title": name, "x-order": order, **schema} for order, (name, schema) in enumerate(properties.items())
    }
    return {
        "components": {"schemas": {"TrainingInput": {"type": "object", "required": required, "properties": numbered}}}
    }


_ADDRESS = {"type": "string", "format": "uri"}


def _integer(default: int | None = None, least: int | None = None, text: str = "") -> dict[str, Any]:
    schema = {"type": "integer", "default": default, "minimum": least, "description": text}
    return {name: value for name, value in schema.items() if value not in (None, "")}


def _number(default: float, **bounds: float) -> dict[str, Any]:
    return {"type": "number", "default": default, **bounds}


SCHEMAS: dict[str, dict[str, Any]] = {
    "llama-2023-06": _inputs(
        ["train_data"],
        train_data=_ADDRESS,
        eval_data=_ADDRESS,
        num_train_epochs=_integer(1, 1),
        max_steps=_integer(-1),
        train_batch_size=_integer(1, 1, "Batch size per GPU"),
        gradient_accumulation_steps=_integer(8, 1),
        learning_rate=_number(2e-5, minimum=0),
        warmup_ratio=_number(0.03, minimum=0, maximum=0.5),
        lora_rank=_integer(8),
        lora_alpha=_integer(16),
        lora_dropout=_number(0.1, minimum=0, maximum=1),
        lora_target_modules={"type": "string", "default": "q_proj,v_proj"},
    ),
    "llama-2023-10": _inputs(
        ["train_data"],
        train_data=_ADDRESS,
        validation_data={"allOf": [_ADDRESS], "description": "Rows to validate on"},
        num_train_epochs=_integer(1, 1),
        train_batch_size=_integer(4, 1, "Global batch size"),
        gradient_accumulation_steps=_integer(1, 1, "Steps, each of train_batch_size"),
        learning_rate=_number(1e-4, minimum=0),
        seed=_integer(42),
        run_validation={"type": "boolean", "default": True},
        num_validation_samples=_integer(50),
        pack_sequences={"type": "boolean", "default": False},
        chunk_size=_integer(2048),
        peft_method={"allOf": [{"$ref": "#/components/schemas/peft_method"}], "default": "lora"},
        lora_rank=_integer(8),
        lora_alpha=_integer(16),
        lora_dropout=_number(0.05, minimum=0, maximum=1),
        fake_output={"type": "string"},
    ),
    "modern": _inputs(
        ["train_data", "base_model"],
        train_data=_ADDRESS,
        eval_data={"anyOf": [_ADDRESS, {"type": "null"}]},
        base_model={"type": "string"},
        method={"type": "string", "enum": ["sft", "dpo"], "default": "sft"},
        train_on={"type": "string", "enum": ["assistant", "completion", "all"], "default": "assistant"},
        beta=_number(0.1, minimum=0),
        num_train_epochs=_number(1, minimum=0),
        global_batch_size=_integer(16, 1),
        learning_rate=_number(1e-4, minimum=0),
        lr_scheduler_type={"type": "string", "enum": ["cosine", "linear"], "default": "linear"},
        warmup_ratio=_number(0.0, minimum=0, maximum=1),
        max_length=_integer(1024, 8),
        packing={"type": "boolean", "default": True},
        optim={"type": "string", "default": "adamw_torch"},
        weight_decay=_number(0.0),
        max_grad_norm=_number(1.0),
        seed=_integer(0),
        quantization={"type": "string", "enum": ["none", "nf4", "int8"], "default": "none"},
        lora_rank=_integer(16, 1),
        lora_alpha=_number(32),
        lora_dropout=_number(0.0, minimum=0, maximum=1),
        lora_target_modules={"type": "string", "default": "all-linear"},
        hf_token={"type": "string", "format": "password"},
    ),
    "image": _inputs(
        ["input_images"],
        input_images=_ADDRESS,
        steps=_integer(1000, 3),
        trigger_word={"type": "string", "default": "TOK"},
        learning_rate=_number(4e-4),
        lora_rank=_integer(16),
    ),
}
SCHEMAS["llama-2023-10"]["components"]["schemas"]["peft_method"] = {"enum": ["lora", "qlora"], "type": "string"}

HEX = {name: hashlib.sha256(name.encode()).hexdigest() for name in (*SCHEMAS, "mute")}
"""From a trainer to its version."""

TRAINER = f"acme/modern:{HEX['modern']}"

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Arr"}]


class Service(StandIn):
    """The state of the service, and its address."""

    def __init__(self) -> None:
        super().__init__()
        self.models: set[str] = {f"{ME}/tuned"}
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, str] = {}
        self.trainings: dict[str, dict[str, Any]] = {}
        self.seconds = 0.5
        self.ends = "succeeded"
        self.error: str | None = None
        self.changes: dict[str, Any] = {}
        """Merged into each training that is shown."""
        self.list_lag = 0.0
        self.needs_token = False
        """Whether weights are given to the owner of the token alone."""
        self.archive: Callable[[], bytes] = lambda: zipped(lora_files())

    @property
    def creations(self) -> int:
        """How many creations were requested."""
        return self.count("POST", "/v1/models/[^/]+/[^/]+/versions/[^/]+/trainings")

    def refusal(self, request: Request) -> Answer | None:
        """Every request needs a token, except the download of an output."""
        if request.path.startswith("/v1/") and request.headers.get("Authorization") != f"Bearer {KEY}":
            detail = "You did not pass a valid authentication token"
            return 401, {"title": "Unauthenticated", "detail": detail, "status": 401}, {}
        return None


def lora_files() -> dict[str, bytes]:
    """The files in an adapter's archive."""
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": "meta-llama/Llama-2-7b-hf"}
    tensors = weights.safetensors({"lora_A.weight": (8, 64), "lora_B.weight": (64, 8)})
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": tensors}


def zipped(files: dict[str, bytes]) -> bytes:
    """An archive as the 2023 trainers made them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _public_training(service: Service, training: dict[str, Any], *, listed: bool = False) -> dict[str, Any]:
    now, begin = time.time(), training["begin"]
    end = training["canceled"] or begin + training["seconds"]
    started = begin + 0.2 * training["seconds"]
    has_ended = now >= end
    fails = bool(str(training["input"].get("base_model", "")).startswith("fails"))
    word = ("canceled" if training["canceled"] else "failed" if fails else service.ends) if has_ended else None
    state = word or ("processing" if now >= started else "starting")
    steps = [started + 0.1 * n * training["seconds"] for n in range(1, 6)]
    logs = "".join(
        f"{n * 20}%|##| {n}/5 [00:01<00:02, 1.0it/s]\n{{'loss': {2 / n}, 'learning_rate': 0.0001, 'epoch': {n / 5}}}\n"
        for n, at in enumerate(steps, 1)
        if at <= min(now, end)
    )
    public: dict[str, Any] = {
        "id": training["id"],
        "model": training["model"],
        "version": training["version"],
        "input": training["input"],
        "status": state,
        "error": (service.error or ("the trainer fails" if fails else None))
        if has_ended and word == "failed"
        else None,
        "created_at": _iso(begin),
        "urls": {"get": f"{service.url}/v1/predictions/{training['id']}", "cancel": f"{service.url}/nowhere"},
    }
    if not listed:
        public |= {"logs": logs, "output": None}
    if now >= started:
        public["started_at"] = _iso(started)
    if has_ended:
        public |= {"completed_at": _iso(end), "metrics": {"predict_time": 3.5, "total_time": 4.0}}
        if state == "succeeded" and not listed:
            public["output"] = {
                "version": f"{ME}/tuned:{'a' * 64}",
                "weights": f"{service.url}/delivery/{training['id']}.zip",
            }
    return {**public, **service.changes}


def _version(service: Service, _request: Request, owner: str, name: str, version: str) -> Answer:
    if owner != "acme" or HEX.get(name) != version:
        return 404, {"detail": "The requested resource could not be found", "status": 404}, {}
    return 200, {"id": version, "cog_version": None, "openapi_schema": SCHEMAS.get(name)}, {}


def _model(service: Service, _request: Request, owner: str, name: str) -> Answer:
    if owner == "acme" and name in HEX:
        return 200, {"owner": owner, "name": name, "latest_version": {"id": HEX[name]}}, {}
    if f"{owner}/{name}" in service.models:
        return 200, {"owner": owner, "name": name, "visibility": "private", "latest_version": None}, {}
    return 404, {"detail": "The requested resource could not be found", "status": 404}, {}


def _create_model(service: Service, request: Request) -> Answer:
    body = request.body
    assert {"owner", "name", "visibility", "hardware"} <= body.keys()
    name = f"{body['owner']}/{body['name']}"
    if name in service.models:
        return 409, {"detail": "A model with that name and owner already exists.", "status": 409}, {}
    service.models.add(name)
    return 201, {"url": "u", "run_count": 0, **body}, {}


def _upload(service: Service, request: Request) -> Answer:
    content = request.body["content"]
    raw = content.encode()
    file_id = f"file-{len(service.files) + 1}"
    service.contents[file_id] = content
    service.files[file_id] = {
        "id": file_id,
        "name": "content",
        "content_type": "application/jsonl",
        "size": len(raw),
        "etag": file_id,
        "checksums": {"sha256": hashlib.sha256(raw).hexdigest(), "md5": hashlib.md5(raw).hexdigest()},
        "metadata": json.loads(request.body.get("metadata", "{}")),
        "created_at": _iso(time.time()),
        "expires_at": _iso(time.time() + 86400),
        "urls": {"get": f"{service.url}/v1/files/{file_id}"},
    }
    return 201, service.files[file_id], {}


def _create(service: Service, request: Request, owner: str, name: str, version: str) -> Answer:
    body = request.body
    if body.get("destination") not in service.models:
        return 404, {"detail": "The specified training destination does not exist", "status": 404}, {}
    for field, value in body["input"].items():
        if value is None:
            return 422, {"detail": f"- input.{field}: Invalid type. Expected: string, given: null", "status": 422}, {}
    inputs = SCHEMAS[name]["components"]["schemas"]["TrainingInput"]["properties"] if name in SCHEMAS else body["input"]
    training = {
        "id": f"tr{len(service.trainings) + 1:024d}",
        "model": f"{owner}/{name}",
        "version": version,
        "input": {field: value for field, value in body["input"].items() if field in inputs},
        "begin": time.time(),
        "seconds": service.seconds,
        "canceled": None,
    }
    service.trainings[training["id"]] = training
    answer = _public_training(service, training)
    return 201, {field: value for field, value in answer.items() if field not in ("output", "started_at")}, {}


def _list(service: Service, request: Request) -> Answer:
    visible = [t for t in service.trainings.values() if time.time() >= t["begin"] + service.list_lag][::-1]
    odd = {"id": "odd", "status": "aborted", "input": None, "version": None, "surprise": [1]}
    entries = [odd, *(_public_training(service, training, listed=True) for training in visible)]
    start = int(request.query.get("cursor", "0"))
    more = f"{service.url}/v1/trainings?cursor={start + 2}" if len(entries) > start + 2 else None
    return 200, {"next": more, "previous": None, "results": entries[start : start + 2]}, {}


def _of_training(act: Callable[[Service, Request, dict[str, Any]], Answer]) -> Callable[..., Answer]:
    def with_training(service: Service, request: Request, training_id: str) -> Answer:
        training = service.trainings.get(training_id)
        missing = {"detail": "The requested resource could not be found", "status": 404}
        return act(service, request, training) if training else (404, missing, {})

    return with_training


def _cancel(service: Service, _request: Request, training: dict[str, Any]) -> Answer:
    if time.time() < training["begin"] + training["seconds"]:
        training["canceled"] = training["canceled"] or time.time()
    return 200, _public_training(service, training), {}


def _deliver(service: Service, request: Request, _name: str) -> Answer:
    if service.needs_token and request.headers.get("Authorization") != f"Bearer {KEY}":
        return 401, {"detail": "not for you"}, {}
    archive = service.archive()
    return ranged(archive, f'"{hashlib.sha256(archive).hexdigest()[:16]}"', request)


Service.routes = routes(
    [
        ("GET", "/v1/models/([^/]+)/([^/]+)/versions/([^/]+)", _version),
        ("POST", "/v1/models/([^/]+)/([^/]+)/versions/([^/]+)/trainings", _create),
        ("GET", "/v1/models/([^/]+)/([^/]+)", _model),
        ("POST", "/v1/models", _create_model),
        ("POST", "/v1/files", _upload),
        ("GET", "/v1/files", lambda s, _: (200, {"next": None, "results": list(s.files.values())}, {})),
        ("GET", "/v1/trainings", _list),
        ("GET", "/v1/trainings/([^/]+)", _of_training(lambda s, _, training: (200, _public_training(s, training), {}))),
        ("POST", "/v1/trainings/([^/]+)/cancel", _of_training(_cancel)),
        ("GET", "/delivery/([^/]+)", _deliver),
    ]
)


@contextlib.contextmanager
def serving() -> Iterator[Service]:
    """A service on a free port of this machine, until the block ends."""
    with http_service.serving(Service()) as running:
        yield running
