"""The local engine on Hugging Face's machines, from the spec to the artifact: the Hub on this machine runs the Job."""

import signal

import psutil
import pytest
from hub_service import KEY
from peft import PeftModel
from transformers import AutoModelForCausalLM

import ftsdk
from ftsdk.errors import JobFailed
from ftsdk.job_types import JobState, Reason

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft asks by the old name
]


def test_from_spec_to_artifact(service, backend, spec, tmp_path):
    """A job is submitted, runs in a container, and its artifact is like one of a local job."""
    job_spec = spec()
    job = ftsdk.submit(job_spec)
    status = job.wait(timeout=240)
    artifact = job.fetch(tmp_path / "out")

    assert (4, 4, 1.0) == (status.step, status.total_steps, status.progress)
    assert job_spec.as_written() == artifact.manifest.spec
    assert {job_spec.dataset.path} == set(artifact.manifest.data)
    assert service.repos["model", "org/tiny"].commits[-1][0] == artifact.manifest.base_model_revision


def test_a_model_of_this_machine(service, backend, spec, tiny_model, tmp_path):
    """A folder is uploaded, and the fetched adapter has its own path again: it loads in plain PEFT."""
    job = ftsdk.submit(spec(model=str(tiny_model)))
    job.wait(timeout=240)
    artifact = job.fetch(tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(artifact.base_model)
    loaded = PeftModel.from_pretrained(base, artifact.path)

    assert str(tiny_model) == artifact.base_model == loaded.peft_config["default"].base_model_name_or_path


def test_a_worker_that_is_killed(service, backend, spec):
    """The container outlives its worker, and reports its loss."""
    job = ftsdk.submit(spec(training={"max_steps": 5000, "global_batch_size": 8, "max_length": 512}))
    while job.status().state is not JobState.RUNNING or not (worker := worker_of(service)):
        pass
    worker.send_signal(signal.SIGKILL)
    with pytest.raises(JobFailed) as caught:
        job.wait(timeout=120)

    assert (Reason.WORKER_LOST.value, 1) == (caught.value.reason, len(service.jobs))


def worker_of(service):
    """The engine's process inside the container, once it is there."""
    children = psutil.Process(service.jobs[0].process.pid).children(recursive=True)
    return next((process for process in children if "ftsdk_local.worker" in process.cmdline()), None)


def test_time_that_is_over(service, backend, spec):
    """The job's own deadline comes before the machine's, and its reason is reported; no key is in the log."""
    many = {"max_steps": 5000, "global_batch_size": 8, "max_length": 512}
    job = ftsdk.submit(spec(training=many, compute={"timeout": 5}))
    with pytest.raises(JobFailed) as caught:
        job.wait(timeout=120)

    assert (Reason.TIMEOUT.value, "ERROR") == (caught.value.reason, service.jobs[0].stage)
    assert not any(KEY in line for _, line in service.jobs[0].log)
