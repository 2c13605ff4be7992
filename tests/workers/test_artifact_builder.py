"""The artifact of the files that an engine has written."""

import torch
from safetensors.torch import save_file

from ftsdk import JobSpec
from ftsdk.backend import Plan
from ftsdk.job_folder import JobFolder
from ftsdk.workers.artifact_builder import seal_job_artifact


def test_the_base_keeps_its_commit(tmp_path):
    """To merge, try or evaluate it later loads the base that was trained on, and not the Hub's newest."""
    source, job = tmp_path / "out", JobFolder(tmp_path / "job")
    source.mkdir()
    job.path.mkdir()
    job.job.write_text('{"backend": "unsloth"}')
    save_file({"lora_A.weight": torch.ones(1)}, source / "adapter_model.safetensors")
    (source / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
    plan = Plan(backend="unsloth", spec=JobSpec(model="org/base", dataset="d.jsonl"), native={}, honoured={})

    artifact = seal_job_artifact(job, plan, source, "org/base", {}, revision="abc123")

    assert ("org/base", "abc123") == (artifact.manifest.base_model, artifact.manifest.base_model_revision)
