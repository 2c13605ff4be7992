"""The architecture: what is loaded, which imports are allowed, and that everything has a docstring."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pydantic import BaseModel

BACKENDS = sorted(
    {entry.module.partition(".")[0] for entry in entry_points(group="ftsdk.backends") if entry.dist.name == "ftsdk"}
    - {"ftsdk"}
)
HEAVY = {
    "bitsandbytes",
    "datasets",
    "huggingface_hub",
    "matplotlib",
    "pandas",
    "peft",
    "replicate",
    "together",
    "torch",
    "torchao",
    "transformers",
    "trl",
}
FOR_BACKENDS = {
    "artifact",
    "backend",
    "data",
    "engines",
    "forecast",
    "huggingface",
    "importers",
    "job_folder",
    "job_types",
    "modeling",
    "remote",
    "spec",
    "translation",
    "workers",
}
LOWEST = {"errors", "files", "home", "identity", "redact"}
"""What the lowest layers of the core offer to all."""
HEAVY_PACKAGES = (
    "ftsdk.data.download",
    "ftsdk.data.row_labels",
    "ftsdk.engines",
    "ftsdk.huggingface",
    "ftsdk.modeling",
    "ftsdk.posttrain",
    "ftsdk.translation.model_source",
)
"""Modules and packages of the core that may import the libraries that take long to load."""
HEAVY_FILES = {"api", "models", "plugin", "runner", "scores", "train", "trainers"}
"""The same inside a backend: its service's client, its training, and scripts for an engine's own Python."""


def _folder(package: str) -> Path:
    """Where the package is installed: the checkout, or the built wheel."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _sources(package: str) -> dict[str, ast.Module]:
    """Every module of a package by its dotted name, parsed."""
    folder = _folder(package)
    names = {file: ".".join(file.relative_to(folder.parent).with_suffix("").parts) for file in folder.rglob("*.py")}
    return {name.removesuffix(".__init__"): ast.parse(file.read_text(encoding="utf-8")) for file, name in names.items()}


MODULES = {name: tree for package in ("ftsdk", *BACKENDS) for name, tree in _sources(package).items()}


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules that a statement imports; ``from package import module`` imports the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    else:
        source = node.module or ""
        yield from (f"{source}.{a.name}" if f"{source}.{a.name}" in MODULES else source for a in node.names)


def _imports(tree: ast.AST) -> set[str]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return {name for node in nodes for name in _imported(node)}


def _imports_at_load(tree: ast.Module) -> set[str]:
    """What is imported while the module loads: not what functions import, nor what type checkers alone see."""
    return {
        name
        for statement in tree.body
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
        and not (isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test))
        for name in _imports(statement)
    }


def _loaded_by(code: str) -> set[str]:
    """Top-level packages, and modules of ours, that a fresh interpreter holds after running the code."""
    report = f"{code}\nimport sys\nprint(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return {name if name.startswith("ftsdk") else name.partition(".")[0] for name in process.stdout.split()}


def test_import_is_next_to_free() -> None:
    """``import ftsdk`` loads no other module of ours, and no library at all."""
    loaded = _loaded_by("import ftsdk")

    assert {"ftsdk"} == {name for name in loaded if name.startswith("ftsdk")}
    assert set() == loaded & {*HEAVY, "numpy", "pydantic", "rich", "sqlalchemy", "typer", "yaml"}


def test_a_spec_loads_no_database_and_no_engine() -> None:
    """To write a spec, nothing is loaded but the spec: no torch, no database, no backend."""
    loaded = _loaded_by("import ftsdk; ftsdk.JobSpec(model='m', dataset='d.jsonl')")

    assert set() == loaded & {*HEAVY, "numpy", "sqlalchemy", "ftsdk_local", "ftsdk.client", "ftsdk.store"}


@pytest.mark.parametrize(
    "use",
    [
        *(f"import {package}" for package in BACKENDS),
        "import ftsdk; ftsdk.import_config",
        "from ftsdk.cli import main",
        "import ftsdk; ftsdk.submit",
    ],
)
def test_the_engine_is_left_to_the_worker(use: str) -> None:
    """Neither a backend nor the command line nor the client loads torch or what builds on it, or a service's client."""
    assert set() == _loaded_by(use) & HEAVY


def test_no_import_circles() -> None:
    """Modules can be read from the ground up: no two need each other to load."""
    graph = {name: (_imports_at_load(tree) - {name}) & MODULES.keys() for name, tree in MODULES.items()}

    order = list(TopologicalSorter(graph).static_order())  # a CycleError names the circle

    assert set(graph) == set(order)


def test_backends_import_packages_for_backends_alone() -> None:
    """Our backends import the packages that are for backends, and no other."""
    modules = {name for module, tree in MODULES.items() if module.startswith("ftsdk_") for name in _imports(tree)}
    packages = {name.split(".")[1] for name in modules if name.startswith("ftsdk.")}

    assert set() == packages - FOR_BACKENDS - LOWEST


def test_heavy_libraries_stay_in_their_packages() -> None:
    """Only training, post-training and the calls of a service import the libraries that take long to load."""
    users = {name for name, tree in MODULES.items() if {n.split(".")[0] for n in _imports(tree)} & HEAVY}

    light = {name for name in users if not name.startswith(HEAVY_PACKAGES)}

    assert set() == {name for name in light if not HEAVY_FILES & set(name.split(".")[1:])}


def test_nothing_loads_a_pickle_or_starts_a_shell() -> None:
    """No module imports a pickle, and no call passes a setting that lets data run as code."""
    forbidden = {("shell", True), ("trust_remote_code", True), ("weights_only", False)}
    keywords = {
        (name, node.arg, node.value.value)
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant)
    }
    picklers = {
        name
        for name, tree in MODULES.items()
        if _imports(tree) & {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
    }

    assert set() == picklers
    assert set() == {keyword for keyword in keywords if keyword[1:] in forbidden}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_things_have_a_docstring(name: str) -> None:
    """Every module, public class and public function has a docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in MODULES[name].body if isinstance(node, kinds) and not node.name.startswith("_")]

    assert [] == [getattr(node, "name", name) for node in [MODULES[name], *public] if not ast.get_docstring(node)]


def test_spec_fields_explain_themselves() -> None:
    """Every field of every section of a spec has a description, for ``ftsdk explain`` and for editors."""
    from ftsdk import spec

    sections = [kind for kind in vars(spec).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
    bare = [
        f"{kind.__name__}.{name}"
        for kind in sections
        for name, field in kind.model_fields.items()
        if not field.description and name != "type"
    ]

    assert [] == bare


def test_tests_are_sentences(root: Path) -> None:
    """Every test has a docstring that states what it checks."""
    silent = [
        f"{file.name}:{node.lineno} {node.name}"
        for file in sorted((root / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert [] == silent
