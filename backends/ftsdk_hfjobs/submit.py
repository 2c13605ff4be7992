"""The request of a Job: its container's task, the code, the plan and the rows, in the job's repository."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path, PurePosixPath
from typing import Any

from ftsdk.backend import Plan, Record
from ftsdk.data.report import check_unchanged
from ftsdk.errors import InputError, RejectedError
from ftsdk.files import sha256
from ftsdk.huggingface.connection import Hub
from ftsdk.huggingface.container import MOUNT, TASK, WORK_FILES, ContainerTask
from ftsdk.huggingface.jobs import LaunchRequest
from ftsdk.huggingface.pricing import SETUP
from ftsdk.huggingface.staging import FOLDER, Contents, make_repository, open_settings, repository, stage
from ftsdk.job_types import job_id
from ftsdk.translation.model_folder_checks import check_trainable
from ftsdk_hfjobs.package import code, code_sha256
from ftsdk_hfjobs.translate import NAME

_ID_LENGTH = 10  # of the token's end, in names for people
_CODE = "code.zip"

_CHECK = "import sys; from ftsdk_local.requirements import check; sys.exit(bool(check()))"
_PYTHON = "3.12"  # the version of Python that the lock files are for


@dataclass(frozen=True, kw_only=True)
class HfJobsTask(ContainerTask):
    """The container's task, with what fetching the artifact needs."""

    files: Mapping[str, str]
    """From each uploaded file to its path on this machine."""
    spec: Mapping[str, Any]
    """The spec as the user wrote it."""


def prepare(hub: Hub, plan: Plan, token: str, record: Record) -> LaunchRequest:
    """Check that everything is as planned, and commit the request to the job's repository; safe to repeat.

    Raises:
        RejectedError: ftsdk was changed since the plan.
        DataError: The rows were changed since the plan.
        InputError: Another file was.
        AuthError: An environment variable of the secrets is not set any more.
    """
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
    return LaunchRequest.of(plan.native, open_settings(), store, revision)


def request(plan: Plan, token: str, store: str) -> Contents:
    """The files of the job's request, by their names in the repository's folder."""
    name = job_id(plan.spec.method.type, token, _ID_LENGTH)
    lock = plan.native["lock"]
    return {
        TASK: container_task(plan, store).to_json(),
        _CODE: code(),
        lock: resources(__package__).joinpath(lock).read_bytes(),
        f"{WORK_FILES}/job.json": json.dumps({"backend": NAME, "id": name, "token": token}),
        f"{WORK_FILES}/plan.json": worker_plan(plan).model_dump_json(indent=2, exclude_unset=True),
        **{target: Path(source) for target, source in plan.native["files"].items()},
    }


def container_task(plan: Plan, store: str) -> HfJobsTask:
    """The task of the container.

    Args:
        plan: The plan.
        store: The job's repository.
    """
    return HfJobsTask(
        repo=store,
        code=_CODE,
        check=_CHECK,
        python=_PYTHON,
        lock=plan.native["lock"],
        command=["-P", "-m", "ftsdk_local.worker", "."],
        placed=["plan.json"],
        events="events.jsonl",
        heartbeat="heartbeat.json",
        outcome="exit.json",
        product="artifact",
        keep=["events.jsonl"],
        # Later than the worker's own deadline, and earlier than the machine's: each level gets the time to report.
        seconds=plan.native["seconds"] - SETUP // 2,
        pause=False,
        leave=[],
        files={**plan.native["files"], **_reward_folders(plan.native["files"])},
        spec=plan.spec.as_written(),
    )


def worker_plan(plan: Plan) -> Plan:
    """The plan that the worker in the container runs: the engine's settings, with the rows' paths there."""
    paths = {source: f"{MOUNT}{FOLDER}/{target}" for target, source in plan.native["files"].items()}
    data = plan.data and plan.data.model_copy(
        update={"sha256": {paths.get(name, name): digest for name, digest in plan.data.sha256.items()}}
    )
    seconds = plan.native["seconds"] - SETUP
    compute = plan.spec.compute.model_copy(update={"timeout": seconds})
    spec = plan.spec.model_copy(update={"compute": compute})
    return Plan(backend=NAME, spec=spec, native=plan.native["settings"], data=data)


def _reward_folders(files: Mapping[str, str]) -> dict[str, str]:
    """Folders of reward functions: settings name the folder of a module, not its file."""
    return {
        str(PurePosixPath(target).parent): str(Path(source).parent)
        for target, source in files.items()
        if "/reward/" in target
    }


def _check_reward(plan: Plan) -> None:
    """Raise where a reward function's file was changed: the worker would refuse it on a machine that is paid for."""
    reward = plan.native["settings"]["reward"] or {}
    for target, source in plan.native["files"].items():
        is_stale = not Path(source).is_file() or sha256(Path(source)) != reward.get("sha256")
        if target.startswith("files/reward/") and is_stale:
            raise InputError(f"method.reward: {source} was changed or removed since the plan", hint="plan again")
