"""The check of names: variables are named for their content."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def check_names(root: Path) -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("check_names", root / "scripts" / "check_names.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refused(check_names: ModuleType, code: str, path: str = "module.py") -> list[str]:
    return [binding.name for binding in check_names.violations(Path(path), ast.parse(code))]


@pytest.mark.parametrize(
    "code",
    [
        "found = 1",
        "found: int = 1",
        "found += 1",
        "name, (*found, path) = row",
        "print(found := 1)",
        "for found in rows: pass",
        "[0 for name, found in rows]",
        "with open(path) as found: pass",
        "try: pass\nexcept OSError as found: pass",
        "def read(found): pass",
        "def read(*found): pass",
        "def read(*, found=1): pass",
        "async def read(**found): pass",
        "lambda found: 1",
        "match row:\n case [found]: pass",
        "match row:\n case [*found]: pass",
        "match row:\n case {**found}: pass",
        "match row:\n case {} as found: pass",
        "import rows as found",
        "class Row:\n found: int",
    ],
)
def test_every_binding_is_checked(check_names: ModuleType, code: str) -> None:
    """Whatever binds a name, a participle is refused."""
    assert ["found"] == _refused(check_names, code)


def test_case_and_underscores_hide_nothing(check_names: ModuleType) -> None:
    """A constant, a private name and one that evades a keyword are refused like the bare word."""
    assert ["ASKED", "_told", "that_"] == _refused(check_names, "ASKED = 1\n_told = 2\nthat_ = 3")


@pytest.mark.parametrize(
    "code",
    [
        "chosen, rejected = pair",
        "native = missing = expected = actual = hidden = 1",
        "found_rows = 1",
        "_ = 1",
        "def done(self): pass",
        "class Told: pass",
        "rows.found = found",
        "read(found=1)",
        "from hypothesis import given",
    ],
)
def test_terms_of_the_field_pass(check_names: ModuleType, code: str) -> None:
    """Terms, names with a noun in them, and what binds no variable are allowed."""
    assert [] == _refused(check_names, code)


def test_operators_name_their_operand_as_python_does(check_names: ModuleType) -> None:
    """``other`` is allowed as the operand of a special method, and there alone."""
    assert [] == _refused(check_names, "def __eq__(self, other): pass")
    assert ["other"] == _refused(check_names, "def merge(self, other): pass")


def test_a_field_of_a_format_keeps_its_name(check_names: ModuleType) -> None:
    """In a file whose fields others parse, a field may keep its name; a variable there may not."""
    code = "class Problem:\n what: str\nwhat = 1"

    assert ["what"] == _refused(check_names, code, "ftsdk/errors.py")
    assert ["what", "what"] == _refused(check_names, code, "ftsdk/other.py")


def test_formats_name_files_that_exist(check_names: ModuleType) -> None:
    """No allowance outlives its file."""
    modules = [file.removeprefix("backends/").removesuffix(".py").replace("/", ".") for file in check_names.FORMATS]

    assert [] == [module for module in modules if importlib.util.find_spec(module) is None]


def test_violations_are_printed_with_their_places(
    check_names: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each violation is a line that begins with path and line number, and the exit status is 1."""
    path = tmp_path / "rows.py"
    path.write_text("rows = 1\nfound = 2\n")

    assert 1 == check_names.main([str(tmp_path)])
    assert capsys.readouterr().out.startswith(f"{path}:2: 'found' says nothing about its content")


def test_silence_means_success(check_names: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all names say something, nothing is printed, and the exit status is 0."""
    (tmp_path / "rows.py").write_text("rows = 1\n")

    assert 0 == check_names.main([str(tmp_path)])
    assert "" == capsys.readouterr().out


def test_a_path_that_is_not_there_is_an_error(check_names: ModuleType, tmp_path: Path) -> None:
    """A mistyped path does not pass for a clean one."""
    with pytest.raises(SystemExit) as caught:
        check_names.main([str(tmp_path / "absent")])

    assert 2 == caught.value.code
