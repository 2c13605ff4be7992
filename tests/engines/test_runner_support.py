"""What the scripts in an engine's own Python have in common."""

import json
import sys

import pytest

from ftsdk.engines.runner_support import RunnerError, offline_environment, run, run_request, values_match


@pytest.fixture
def engine_folder(tmp_path, monkeypatch):
    """A folder with a request, and the result of an earlier attempt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "request.json").write_text('{"rows": 3}')
    (tmp_path / "result.json").write_text('{"state": "succeeded", "of": "an earlier attempt"}')
    return tmp_path


def test_the_work_gets_its_request(engine_folder):
    """What it leaves in the result is written down."""
    assert 0 == run_request(str(engine_folder), lambda request, result: result.update(done=request["rows"]))
    assert {"state": "succeeded", "done": 3} == json.loads((engine_folder / "result.json").read_text())


def test_a_failure_has_its_reason(engine_folder):
    """Its reason and its message are the result."""

    def work(*_):
        raise RunnerError("data_error", "row 3")

    assert 1 == run_request(str(engine_folder), work)
    assert {"state": "failed", "kind": "data_error", "message": "row 3"} == json.loads(
        (engine_folder / "result.json").read_text()
    )


def test_an_earlier_result_is_removed(engine_folder):
    """An attempt that is killed leaves no result, not that of the one before."""

    def killed(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_request(str(engine_folder), killed)
    assert not (engine_folder / "result.json").exists()


def test_an_engine_has_no_keys(monkeypatch):
    """It needs no token, and sends no request to the Hub."""
    monkeypatch.setenv("HF_TOKEN", "a-key-for-tests")

    assert ("HF_TOKEN" in offline_environment(), "1") == (False, offline_environment()["HF_HUB_OFFLINE"])


@pytest.mark.parametrize(
    ("actual", "expected", "equal"), [("0.1", 0.1, True), (1, 1.0, True), (None, 0.1, False), (2, 3, False)]
)
def test_numbers_match_in_any_type(actual, expected, equal):
    """A number that comes back as a word is the same number."""
    assert equal is values_match(actual, expected)


def test_an_engine_that_the_system_kills(engine_folder):
    """It has no last words; what has ended it is as a rule the want of memory."""
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    with pytest.raises(RunnerError, match="killed by the system") as caught:
        run(command, {})

    assert "oom" == caught.value.kind


def test_an_engine_that_fails(engine_folder):
    """The reason is in its log."""
    with pytest.raises(RunnerError) as caught:
        run([sys.executable, "-c", "raise SystemExit(3)"], {})

    assert ("", "") == (caught.value.kind, str(caught.value))
