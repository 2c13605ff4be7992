"""``ftsdk doctor``: what is checked, and the exit code."""

import json

from ftsdk.errors import Problem


def test_doctor_succeeds_with_a_usable_backend(cli, monkeypatch):
    """With a usable backend, the exit code is 0."""
    monkeypatch.setenv("FTSDK_BACKEND", "fake")

    result = cli("doctor")

    assert 0 == result.exit_code
    assert "fake (chosen)" in result.stdout


def test_doctor_names_what_is_missing(cli, monkeypatch):
    """A chosen backend that is not usable is exit code 1, with the cause and the command that fixes it."""
    monkeypatch.setenv("FTSDK_BACKEND", "fake")
    problem = Problem("torch", "is not installed", "pip install 'ftsdk[fake]'")
    monkeypatch.setattr("ftsdk.testing.FakeBackend.check", lambda self: [problem])

    result = cli("doctor")

    assert 1 == result.exit_code
    assert "pip install 'ftsdk[fake]'" in result.stdout


def test_doctor_succeeds_when_another_backend_is_unusable(cli, monkeypatch):
    """A backend that is not chosen may be unusable."""
    monkeypatch.setenv("FTSDK_BACKEND", "fake")
    monkeypatch.setattr("ftsdk_local.LocalBackend.check", lambda self: [Problem("torch", "is not installed")])

    assert 0 == cli("doctor").exit_code


def test_doctor_finds_a_backend_that_does_not_exist(cli, monkeypatch):
    """A chosen backend that is not installed is a finding, not a crash."""
    monkeypatch.setenv("FTSDK_BACKEND", "nonesuch")

    report = json.loads(cli("doctor", "--json").stdout)

    assert not report["ok"]
    assert any("nonesuch" in finding["text"] for finding in report["findings"])
