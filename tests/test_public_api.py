"""The names that users may rely on are exactly the names that are there."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import ftsdk
from ftsdk import errors

FOLDER = Path(ftsdk.__file__).parent
LISTING = [file for file in sorted(FOLDER.rglob("*.py")) if "\n__all__ = [\n" in file.read_text(encoding="utf-8")]


def _kind_then_name(name: str) -> tuple[int, str]:
    """Constants and acronyms, then classes, then functions; each by the alphabet."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("file", LISTING, ids=lambda file: str(file.relative_to(FOLDER.parent)))
def test_listed_names_are_there_and_sorted(file: Path) -> None:
    """Where a module lists its names, each of them is there, once, and the list is sorted."""
    parts = file.relative_to(FOLDER.parent).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))

    assert sorted(set(module.__all__), key=_kind_then_name) == module.__all__
    assert [] == [name for name in module.__all__ if not hasattr(module, name)]


@pytest.mark.parametrize("name", ftsdk.__all__)
def test_each_name_is_there_and_explained(name: str) -> None:
    """Each public name can be imported and has a docstring of its own."""
    assert getattr(ftsdk, name).__doc__


def test_lazy_names_are_the_public_names() -> None:
    """What is loaded on first use is what ``__all__`` lists, no more and no less, in the order of the alphabet."""
    assert sorted(ftsdk._MODULES) == ftsdk.__all__


def test_type_checkers_see_the_public_names() -> None:
    """The imports that only type checkers read bind each public name, from the module that it is loaded from."""
    module = ast.parse((FOLDER / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in module.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]

    assert {(alias.asname, node.module) for node in imports for alias in node.names} == set(ftsdk._MODULES.items())


def test_every_error_can_be_caught_by_its_public_name() -> None:
    """Each class of the tree of errors is a name of ``ftsdk`` itself."""
    classes = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FtsdkError)
    }

    assert classes == {name: getattr(ftsdk, name, None) for name in classes}


def test_job_is_the_function_that_gives_a_handle() -> None:
    """``ftsdk.job`` stays the function when the types of jobs, or a backend, have been imported."""
    code = "import ftsdk, ftsdk.job_types, ftsdk.backend; print(ftsdk.job is ftsdk.client.job, callable(ftsdk.job))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "True True" == process.stdout.strip()


def test_a_star_import_binds_the_public_names() -> None:
    """``from ftsdk import *`` binds every public name and nothing else."""
    code = "from ftsdk import *; print(*sorted(n for n in dir() if not n.startswith('_')))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert sorted(ftsdk.__all__) == process.stdout.split()


def test_dir_lists_the_public_names() -> None:
    """Completion in a shell offers the public names before any of them is loaded."""
    assert {*ftsdk.__all__, "__version__"} == set(dir(ftsdk))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that is not there is missed as in any other module."""
    with pytest.raises(AttributeError, match="'ftsdk' has no attribute 'sumbit'"):
        _ = ftsdk.sumbit
