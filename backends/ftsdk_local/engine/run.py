"""One attempt at a job, inside the worker: from the plan to the sealed artifact."""

import importlib
import os
from collections.abc import Callable
from pathlib import Path

from ftsdk.backend import Plan
from ftsdk.errors import DataError, Problem
from ftsdk.files import sha256
from ftsdk.kit.hub.publishing import publish
from ftsdk.kit.jobs.folder import JobFolder
from ftsdk.kit.jobs.report import Reporter
from ftsdk_local.engine.callbacks import StopRequest
from ftsdk_local.engine.export import export
from ftsdk_local.engine.stages import Trained
from ftsdk_local.settings import Settings

ROOMS = {
    "sft": "sft",
    "reward_modeling": "reward",
    "dpo": "preference",
    "kto": "preference",
    "orpo": "preference",
    "grpo": "grpo",
    "ppo": "ppo",
}
"""From a method to the module whose ``train`` does it; only that one, and the libraries it needs, is imported."""


def run(folder: JobFolder, plan: Plan, reporter: Reporter, stop: StopRequest) -> None:
    """Train as the plan says, and leave the artifact in the job's folder.

    Raises:
        Stopped: It was asked to stop.
        Failure: It cannot go on, with the reason.
        FtsdkError: The input is wrong.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    folder.checkpoints.mkdir(exist_ok=True)
    _check_unchanged(plan)
    settings = Settings.model_validate(plan.native)
    trained = _trainer(settings.method)(folder, plan.spec, settings, reporter, stop)
    reporter.stage("exporting")
    artifact = export(folder, plan, settings, trained.model, trained.tokenizer)
    reporter.log(f"the artifact is in {artifact}")
    if settings.hub_model_id:
        reporter.stage("uploading")
        reporter.log(f"uploaded to {publish(artifact, settings.hub_model_id)}")


def _trainer(method: str) -> Callable[..., Trained]:
    room = importlib.import_module(f"ftsdk_local.engine.{ROOMS[method]}")
    train: Callable[..., Trained] = room.train
    return train


def _check_unchanged(plan: Plan) -> None:
    """Rows that were edited after the plan was made are not what the user submitted."""
    hashes = plan.data.sha256 if plan.data else {}
    changed = [name for name, expected in hashes.items() if not Path(name).is_file() or sha256(Path(name)) != expected]
    if changed:
        raise DataError(
            "the dataset is no longer what it was when the job was submitted",
            problems=[Problem(name, "changed or gone") for name in changed],
            hint="put it back and resume, or submit again",
        )
