"""One line chooses the backend, and the nearest one wins."""

from pathlib import Path

import platformdirs
import pytest

from ftsdk.config import resolve
from ftsdk.errors import ConfigError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project folder, with a folder two levels down inside it."""
    (tmp_path / "project" / "deep" / "down").mkdir(parents=True)
    return tmp_path / "project"


@pytest.fixture
def user_file() -> Path:
    """The user's file; its folder is made."""
    path = platformdirs.user_config_path("ftsdk") / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_the_nearest_line_wins(project, user_file, monkeypatch):
    """Call, environment, spec, project file, user file, local: each wins over all after it."""
    user_file.write_text('backend = "user"')
    (project / "ftsdk.toml").write_text('backend = "project"')
    monkeypatch.setenv("FTSDK_BACKEND", "environment")

    choice = [resolve("spec", "call", project), resolve("spec", None, project)]
    monkeypatch.delenv("FTSDK_BACKEND")
    choice += [resolve("spec", None, project), resolve(None, None, project)]
    (project / "ftsdk.toml").unlink()
    choice += [resolve(None, None, project)]
    user_file.unlink()
    choice += [resolve(None, None, project)]

    assert choice == [
        ("call", "the call", {}),
        ("environment", "FTSDK_BACKEND", {}),
        ("spec", "the spec", {}),
        ("project", str(project / "ftsdk.toml"), {}),
        ("user", str(user_file), {}),
        ("local", "the default", {}),
    ]


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_environment_is_no_choice(project, monkeypatch, blank):
    """``FTSDK_BACKEND=`` counts as not set."""
    monkeypatch.setenv("FTSDK_BACKEND", blank)

    assert "local" == resolve(None, None, project).backend


def test_the_project_is_searched_upward(project):
    """A file counts for all folders beneath it."""
    (project / "ftsdk.toml").write_text('backend = "project"')

    assert "project" == resolve(None, None, project / "deep" / "down").backend


def test_the_nearest_project_file_counts_alone(project):
    """A file further up is not read."""
    (project / "ftsdk.toml").write_text("broken")
    (project / "deep" / "ftsdk.toml").write_text('backend = "deep"')

    assert "deep" == resolve(None, None, project / "deep" / "down").backend


def test_pyproject_may_name_the_backend(project):
    """``[tool.ftsdk]`` counts like ``ftsdk.toml``; a pyproject without it is ignored."""
    (project / "pyproject.toml").write_text('[tool.ftsdk]\nbackend = "pyproject"')
    (project / "deep" / "pyproject.toml").write_text("[tool.other]\nx = 1")

    assert "pyproject" == resolve(None, None, project / "deep").backend


def test_options_of_the_chosen_backend_are_merged(project, user_file):
    """The project's options win over the user's, one by one, and only the chosen backend's count."""
    user_file.write_text("[backend_options.together]\na = 1\nb = 1\n[backend_options.local]\nc = 1")
    (project / "ftsdk.toml").write_text('backend = "together"\n[backend_options.together]\nb = 2')

    assert {"a": 1, "b": 2} == resolve(None, None, project).options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('bakend = "local"', "bakend: there is no such field here -> did you mean backend?"),
        ("backend = 3", "backend: expected text"),
        ('backend = ""', "backend: must not be empty"),
        ('backend_options = "x"', "backend_options: expected a section"),
        ("backend = ", "is not valid TOML"),
        ("", "is empty"),
        ('[backend_options.x]\nkey = "hf_aaaaaaaaaaaaaaaaaaaaaaaa"', "backend_options: this looks like a secret"),
    ],
)
def test_a_wrong_file_is_named(project, text, message):
    """What is wrong in a file is reported with the file and the field, and never quoted."""
    (project / "ftsdk.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        resolve(None, None, project)
    text = str(caught.value)

    assert (True, True, False) == (str(project / "ftsdk.toml") in text, message in text, "hf_a" in text)


def test_a_lost_working_folder_is_reported(tmp_path, monkeypatch):
    """A working folder that was deleted is an error with a next step."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()

    with pytest.raises(ConfigError, match="no longer exists"):
        resolve(None)
