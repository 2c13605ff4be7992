"""Copy modules of ours beside an engine, for scripts in its own Python, which can import nothing else of ours."""

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

FOLDER = "tools"
"""Their folder in the engine's folder."""

# In isolated mode (-I) Python ignores PYTHONPATH and the working folder, so the one folder that it needs is added here.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import importlib;"
    " sys.exit(importlib.import_module(sys.argv[2]).main(sys.argv[3]))"
)


def copy_modules(engine_folder: Path, modules: Sequence[str]) -> None:
    """Copy modules under their own names, into packages that are empty otherwise.

    Args:
        engine_folder: The engine's folder.
        modules: Dotted names; each needs nothing but the standard library, the engine's packages, and one another.
    """
    # anew for each attempt, so that a resumed job does not mix modules of two releases
    shutil.rmtree(engine_folder / FOLDER, ignore_errors=True)
    for module in modules:
        source = importlib.util.find_spec(module)
        assert source is not None
        assert source.origin is not None
        *packages, name = module.split(".")
        folder = engine_folder / FOLDER
        for package in packages:
            folder /= package
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
        shutil.copyfile(source.origin, folder / f"{name}.py")


def runner_command(python: Path, module: str) -> list[str]:
    """The command that runs a module's ``main`` in the engine's folder, isolated from our packages."""
    return [str(python), *runner_arguments(module)]


def runner_arguments(module: str) -> list[str]:
    """The same without the interpreter, which a container does not have yet."""
    return ["-I", "-c", _START, FOLDER, module, "."]
