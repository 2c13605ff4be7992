"""One attempt at a job, inside the worker: from the plan to the sealed artifact."""

import importlib
import os
from collections.abc import Callable

from ftsdk.backend import Plan
from ftsdk.data.report import check_unchanged
from ftsdk.huggingface.publishing import publish
from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.export import export
from ftsdk_local.train.common.stages import TrainedModel

TRAINERS = {
    "sft": "sft",
    "reward_modeling": "reward",
    "dpo": "preference.train",
    "kto": "preference.train",
    "orpo": "preference.train",
    "grpo": "grpo.train",
    "ppo": "ppo.train",
}
"""From a method to the module whose ``train`` does it; only that one is imported, with the libraries that it needs."""


def run(folder: JobFolder, plan: Plan, reporter: EventWriter, stop: StopRequest) -> None:
    """Train by the plan, and write the artifact into the job's folder.

    Raises:
        Stopped: A stop was requested.
        WorkerError: It cannot continue, with the reason.
        FtsdkError: The input is wrong.
    """
    # Tokenizers warns, and may deadlock, where the process forks after its threads have started: data loaders fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    folder.checkpoints.mkdir(exist_ok=True)
    check_unchanged(plan.data)
    settings = Settings.model_validate(plan.native)
    trained = _train_function(settings.method)(folder, plan.spec, settings, reporter, stop)
    reporter.stage("exporting")
    artifact = export(folder, plan, settings, trained.model, trained.tokenizer)
    reporter.log(f"the artifact is in {artifact}")
    if settings.hub_model_id:
        reporter.stage("uploading")
        reporter.log(f"uploaded to {publish(artifact, settings.hub_model_id)}")


def _train_function(method: str) -> Callable[..., TrainedModel]:
    module = importlib.import_module(f"ftsdk_local.train.{TRAINERS[method]}")
    train: Callable[..., TrainedModel] = module.train
    return train
