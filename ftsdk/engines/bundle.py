"""Lay modules of ours beside an engine, so that a script in its own Python can import them, and nothing else."""

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

FOLDER = "tools"
"""Where they lie in the engine's folder."""

_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import importlib;"
    " sys.exit(importlib.import_module(sys.argv[2]).main(sys.argv[3]))"
)


def copy_modules(desk: Path, modules: Sequence[str]) -> None:
    """Copy modules under their own names; their packages are empty there.

    Args:
        desk: The engine's folder.
        modules: Dotted names; each needs nothing but the standard library, the engine's packages, and one another.
    """
    shutil.rmtree(desk / FOLDER, ignore_errors=True)
    for module in modules:
        found = importlib.util.find_spec(module)
        assert found is not None
        assert found.origin is not None
        *packages, name = module.split(".")
        folder = desk / FOLDER
        for package in packages:
            folder /= package
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
        shutil.copyfile(found.origin, folder / f"{name}.py")


def runner_command(python: Path, module: str) -> list[str]:
    """The command that runs a module's ``main`` in the engine's folder, alone: ``-I`` leaves out all that is ours."""
    return [str(python), *runner_arguments(module)]


def runner_arguments(module: str) -> list[str]:
    """The same without the interpreter, for where that is not known yet."""
    return ["-I", "-c", _START, FOLDER, module, "."]
