"""``ftsdk backends``, and ``ftsdk backends install``, which installs what a backend needs on this machine."""

import json

import pytest

import ftsdk


def test_the_testing_backend_is_listed_on_request(cli):
    """``fake`` trains nothing: lists for users name it with ``--all`` alone, or where it is named."""
    default_list, full_list, detail = (
        json.loads(cli("backends", *arguments, "--json").stdout) for arguments in ((), ("--all",), ("fake",))
    )

    assert "fake" not in {summary["backend"] for summary in default_list}
    assert {"local", "fake"} <= {summary["backend"] for summary in full_list}
    assert "fake" == detail["backend"]
    assert "fake" in ftsdk.backend_names()


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor",),
        ("backends", "install"),
        ("backends", "install", "nope"),
        ("plan", "{local_spec}", "--all-backends"),
        ("plan", "{local_spec}", "--backend", "nope"),
        ("plan", "{foreign_options}"),
    ],
    ids=["doctor", "install", "unknown to install", "all backends", "unknown backend", "unknown options"],
)
def test_messages_do_not_name_the_testing_backend(cli, write_spec, tmp_path, arguments):
    """A backend that trains nothing is not suggested; the other installed ones are named."""
    base = {"model": "tiny/model", "dataset": str(tmp_path / "rows.jsonl")}
    write_spec()
    (tmp_path / "local.json").write_text(json.dumps(base))
    (tmp_path / "foreign.json").write_text(json.dumps({**base, "backend_options": {"nope": {}}}))
    files = {"local_spec": "local.json", "foreign_options": "foreign.json"}

    output = cli(*(argument.format(**files) for argument in arguments)).output

    assert "together" in output
    assert "fake" not in output


def test_the_testing_backend_is_listed_where_the_spec_names_it(cli, write_spec):
    """``--all-backends`` has a row for it if the spec is for it."""
    estimates = json.loads(cli("plan", write_spec(), "--all-backends", "--json").stdout)

    assert "fake" in {estimate["backend"] for estimate in estimates}


def test_a_backend_that_needs_nothing(cli):
    """That is reported, and is no error."""
    result = cli("backends", "install", "fake")

    assert (0, True) == (result.exit_code, "fake needs nothing but its Python packages" in result.stdout)


def test_as_a_document(cli):
    """With --json, the messages are in the document, and nothing else is on stdout."""
    document = json.loads(cli("backends", "install", "fake", "--json").stdout)

    assert ("fake", ["fake needs nothing but its Python packages"]) == (document["backend"], document["told"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("install",), "no backend to install is named"),
        (("install", "nope"), "no installed backend is named 'nope'"),
        (("local", "autotrain"), "unexpected 'autotrain' after 'local'"),
    ],
    ids=["nothing", "unknown", "too much"],
)
def test_what_cannot_be_installed(cli, arguments, message):
    """The error names the correct command."""
    result = cli("backends", *arguments)

    assert (1, True) == (result.exit_code, message in result.stderr)


def test_doctor_shows_engines(cli):
    """An engine's place, or that it will be installed, and its device."""
    result = cli("doctor")

    assert "autotrain-advanced 0.8.36" in result.stdout
