"""Bring a job's request to its repository, and run the Job once."""

import json
from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path, PurePosixPath
from typing import Any

from ftsdk.backend import Plan, Record
from ftsdk.data.report import check_unchanged
from ftsdk.errors import InputError, RejectedError
from ftsdk.files import sha256
from ftsdk.huggingface import jobs
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import MOUNT
from ftsdk.huggingface.pricing import SETUP
from ftsdk.huggingface.staging import FOLDER, Contents, make_repository, open_settings, repository, stage
from ftsdk.job_types import job_id
from ftsdk.translation.model_checks import check_trainable
from ftsdk_hfjobs.package import code, code_sha256
from ftsdk_hfjobs.translate import NAME

_ID_LENGTH = 10  # of the token's end, in names for people

_CHECK = "import sys; from ftsdk_local.requirements import check; sys.exit(bool(check()))"
_PYTHON = "3.12"  # the version of Python that the lock files are for


def submit(hub: Hub, plan: Plan, token: str, record: Record) -> str:
    """See :meth:`ftsdk.backend.Backend.submit`."""
    if earlier := find(hub, plan, token):
        return earlier
    check_unchanged(plan.data)
    if plan.native["code"]["sha256"] != code_sha256():
        raise RejectedError("ftsdk was changed since the plan was made", hint="plan and submit again")
    _check_reward(plan)
    check_trainable(plan.spec.model)
    name = job_id(plan.spec.method.type, token, _ID_LENGTH)
    store = repository(plan.native["namespace"], name)
    make_repository(hub, store)
    record(repository=store)
    revision = stage(hub, store, request(plan, token, store))
    record(revision=revision)
    order = jobs.Order.of(plan.native, open_settings(), store, revision)
    return jobs.create(hub, plan, token, order, record)


def find(hub: Hub, plan: Plan, token: str) -> str | None:
    """The Job with this token; None: it is certain that there is none."""
    return jobs.find(hub, plan, plan.native["namespace"], token)


def request(plan: Plan, token: str, store: str) -> Contents:
    """All that the job needs, by its name in the repository's folder."""
    name = job_id(plan.spec.method.type, token, _ID_LENGTH)
    lock = plan.native["lock"]
    return {
        "task.json": json.dumps(_task(plan, store), indent=2),
        "code.zip": code(),
        lock: resources(__package__).joinpath(lock).read_bytes(),
        "desk/job.json": json.dumps({"backend": NAME, "id": name, "token": token}),
        "desk/plan.json": inner_plan(plan).model_dump_json(indent=2, exclude_unset=True),
        **{place: Path(source) for place, source in plan.native["files"].items()},
    }


def inner_plan(plan: Plan) -> Plan:
    """The plan that the worker in the container does: the engine's settings, the rows where they are there."""
    there = {source: f"{MOUNT}{FOLDER}/{place}" for place, source in plan.native["files"].items()}
    data = plan.data and plan.data.model_copy(
        update={"sha256": {there.get(name, name): digest for name, digest in plan.data.sha256.items()}}
    )
    seconds = plan.native["seconds"] - SETUP
    compute = plan.spec.compute.model_copy(update={"timeout": seconds})
    spec = plan.spec.model_copy(update={"compute": compute})
    return Plan(backend=NAME, spec=spec, native=plan.native["settings"], data=data)


def _folders(files: Mapping[str, str]) -> dict[str, str]:
    """A reward's module is known by the folder that it lies in."""
    return {
        str(PurePosixPath(place).parent): str(Path(source).parent)
        for place, source in files.items()
        if "/reward/" in place
    }


def _check_reward(plan: Plan) -> None:
    """See that a reward function's file is as it was: the worker would refuse it when the machine is paid for."""
    reward = plan.native["settings"]["reward"] or {}
    for place, source in plan.native["files"].items():
        changed = not Path(source).is_file() or sha256(Path(source)) != reward.get("sha256")
        if place.startswith("files/reward/") and changed:
            raise InputError(f"method.reward: {source} was changed or removed since the plan", hint="plan again")


def _task(plan: Plan, store: str) -> dict[str, Any]:
    return {
        "repo": store,
        "code": "code.zip",
        "check": _CHECK,
        "python": _PYTHON,
        "lock": plan.native["lock"],
        "command": ["-P", "-m", "ftsdk_local.worker", "."],
        "placed": ["plan.json"],
        "events": "events.jsonl",
        "heartbeat": "heartbeat.json",
        "outcome": "exit.json",
        "product": "artifact",
        "keep": ["events.jsonl"],
        "seconds": plan.native["seconds"] - SETUP // 2,
        "pause": False,
        "leave": [],
        "files": {**plan.native["files"], **_folders(plan.native["files"])},
        "spec": plan.spec.as_written(),
    }
