"""Make an artifact of what an engine has written: in the one layout, sealed, and moved into place at once."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from ftsdk.artifact import Artifact, Kind, Manifest, seal
from ftsdk.backend import Plan
from ftsdk.kit.card import model_card
from ftsdk.kit.jobs.folder import JobFolder
from ftsdk.kit.jobs.measured import as_lines, last_values, metrics_by_step
from ftsdk.kit.model_files import is_model_file


def seal_product(folder: JobFolder, plan: Plan, source: Path, base_model: str, versions: Mapping[str, str]) -> Artifact:
    """Copy an engine's files into the job's artifact, with metrics and a model card; an earlier one is replaced.

    Args:
        folder: The job's.
        plan: What was done.
        source: The folder that the engine has written into.
        base_model: The base's id or folder.
        versions: Of the packages that took part.

    Raises:
        ArtifactError: Something in it is damaged or unsafe.
    """
    aside = folder.path / "artifact.partial"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for file in sorted(source.iterdir()):
        if file.is_file() and is_model_file(file.name):
            shutil.copyfile(file, aside / file.name)
    kind: Kind = "adapter" if (aside / "adapter_config.json").is_file() else "model"
    metrics = metrics_by_step(folder)
    (aside / "metrics.jsonl").write_text(as_lines(metrics), "utf-8")
    manifest = Manifest(
        kind=kind,
        base_model=base_model,
        method=plan.spec.method.type,
        spec=plan.spec.as_written(),
        plan=dict(plan.native),
        data=plan.data.sha256 if plan.data else {},
        versions=dict(versions),
        metrics=last_values(metrics),
        job=folder.ref,
    )
    (aside / "README.md").write_text(model_card(manifest), "utf-8")
    seal(aside, manifest)
    Artifact.open(aside)
    shutil.rmtree(folder.artifact, ignore_errors=True)
    aside.rename(folder.artifact)
    return Artifact.open(folder.artifact)
