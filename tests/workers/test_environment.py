import pytest

from ftsdk.workers.environment import worker_environment


def test_keys_stay_here(monkeypatch):
    """What a worker does not need does not reach it."""
    for name in ("TOGETHER_API_KEY", "AWS_SECRET_ACCESS_KEY", "FTSDK_STORE", "WANDB_API_KEY", "MY_PASSWORD"):
        monkeypatch.setenv(name, "canary-value")

    assert "canary-value" not in worker_environment().values()


@pytest.mark.parametrize("name", ["HF_TOKEN", "PATH", "LC_ALL", "CUDA_HOME", "https_proxy", "OMP_NUM_THREADS"])
def test_what_a_worker_needs_reaches_it(monkeypatch, name):
    """Paths, language, hardware, proxies and the Hub's token pass."""
    monkeypatch.setenv(name, "1")

    assert "1" == worker_environment()[name]


def test_a_tracker_that_is_asked_for_gets_its_key(monkeypatch):
    """Only the trackers of the spec get theirs."""
    monkeypatch.setenv("WANDB_API_KEY", "w")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "m")

    variables = worker_environment(["wandb", "tensorboard"])

    assert ("w", False) == (variables["WANDB_API_KEY"], "MLFLOW_TRACKING_TOKEN" in variables)


def test_telemetry_is_off():
    """That of the Hub's library, and of others that read the common variable."""
    assert ("1", "1") == tuple(worker_environment()[name] for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"))


def test_the_state_folder_is_the_same_from_anywhere(monkeypatch, tmp_path):
    """A relative FTSDK_HOME is made absolute, because the worker runs in another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FTSDK_HOME", "state")

    assert str(tmp_path / "state") == worker_environment()["FTSDK_HOME"]
