"""Build an artifact from the files that an engine wrote: in the common layout, sealed, and moved into place at once."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from ftsdk.artifact import Artifact, Manifest, seal
from ftsdk.artifact.model_card import model_card
from ftsdk.artifact.model_files import artifact_kind, is_model_file
from ftsdk.backend import Plan
from ftsdk.job_folder import JobFolder
from ftsdk.workers.metrics import Metrics, as_lines, last_values, metrics_by_step


def seal_job_artifact(
    folder: JobFolder,
    plan: Plan,
    source: Path,
    base_model: str,
    versions: Mapping[str, str],
    *,
    revision: str | None,
    chat_template: str = "",
) -> Artifact:
    """Copy an engine's files into the job's artifact, with metrics and a model card; an earlier one is replaced.

    Args:
        folder: The job's.
        plan: The job's plan.
        source: The folder that the engine wrote into.
        base_model: The base's id or folder.
        versions: Of the packages that trained.
        revision: The Hub's commit of the base; None where it is a folder, or not pinned.
        chat_template: The sha256 of the template that the rows were rendered with, where it is known.

    Raises:
        ArtifactError: Something in it is damaged or unsafe.
    """
    partial = folder.path / "artifact.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    manifest = Manifest(
        kind=artifact_kind(source),
        base_model=base_model,
        base_model_revision=revision,
        method=plan.spec.method.type,
        spec=plan.spec.as_written(),
        plan=dict(plan.native),
        data=plan.data.sha256 if plan.data else {},
        versions=dict(versions),
        chat_template=chat_template,
        job=folder.ref,
    )
    build_artifact(source, partial, metrics_by_step(folder), manifest)
    Artifact.open(partial)
    # Only a complete artifact gets the name: a crash before this line leaves the earlier one, after it the new one.
    shutil.rmtree(folder.artifact, ignore_errors=True)
    partial.rename(folder.artifact)
    return Artifact.open(folder.artifact)


def build_artifact(source: Path, target: Path, metrics: Metrics, manifest: Manifest) -> None:
    """Fill an empty folder with an engine's files, metrics and a model card, and seal it.

    Args:
        source: The folder that the engine wrote into; files that are no part of a model stay there.
        target: The folder to fill.
        metrics: The metrics of each step.
        manifest: The artifact's origin, without metrics and files.
    """
    for file in sorted(source.iterdir()):
        if file.is_file() and is_model_file(file.name):
            shutil.copyfile(file, target / file.name)
    (target / "metrics.jsonl").write_text(as_lines(metrics), "utf-8")
    complete = manifest.model_copy(update={"metrics": last_values(metrics)})
    (target / "README.md").write_text(model_card(complete), "utf-8")
    seal(target, complete)
