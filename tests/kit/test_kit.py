"""Names that were public before ``ftsdk.kit`` became packages still work, with a warning that has the new one."""

import json
import re
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import ftsdk
from ftsdk import client

HERE = Path(__file__).parent
OLD_NAMES: dict[str, list[str]] = json.loads((HERE / "old_names.json").read_text(encoding="utf-8"))
FILE = re.compile(r"^```python\n# (?P<name>[\w/]+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)

PLAN = """
import warnings

import ftsdk

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from ftsdk_acme import AcmeBackend
    from ftsdk_acme.options import AcmeOptions

print(*sorted(str(warning.message) for warning in caught), sep="\\n")
spec = ftsdk.JobSpec(model="org/m", dataset="d.jsonl", adapter={"r": 4}, training={"num_train_epochs": 2})
print(AcmeBackend().plan(spec, AcmeOptions()).native)
print(ftsdk.job is ftsdk.client.job)
"""


@pytest.mark.parametrize("module", OLD_NAMES)
def test_every_old_name_is_there(module: str) -> None:
    """Each module imports by its old name, and so does each public name in it, with a warning for each."""
    names = OLD_NAMES[module]
    code = "\n".join([f"import {module}", *(f"from {module} import {name}" for name in names)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(code, {})
    messages = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
    owned = [message.partition(" is deprecated")[0] for message in messages if message.startswith(f"{module}.")]

    assert [f"{module}.{name}" for name in names] == owned


def test_an_old_module_is_an_attribute_of_its_package() -> None:
    """An old module is an attribute of the package that it was in, as an import leaves it."""
    import ftsdk.kit.engines.house

    with pytest.warns(
        DeprecationWarning, match=r"ftsdk\.kit\.engines\.house\.House .*: use ftsdk\.engines\.environment\."
    ):
        kind = ftsdk.kit.engines.house.House

    assert kind is import_module("ftsdk.engines.environment").EngineEnvironment


def test_a_name_that_never_was_is_an_import_error() -> None:
    """A wrong name in an old module is missed as in any other."""
    with pytest.raises(ImportError, match="Legder"):
        from ftsdk.kit.ledger import Legder  # noqa: F401


def test_the_old_module_of_jobs_leaves_the_function_alone() -> None:
    """``from ftsdk.job import JobState`` works, and ``ftsdk.job`` is the function before and after."""
    with pytest.warns(
        DeprecationWarning, match=r"ftsdk\.job\.JobState is deprecated .*: use ftsdk\.job_types\.JobState"
    ):
        from ftsdk.job import JobState

    assert ftsdk.JobState is JobState
    assert client.job is ftsdk.job


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("ftsdk.backend", "Note", "PlanNote"),
        ("ftsdk.forecast", "Basis", "MemoryInputs"),
        ("ftsdk.forecast", "Computing", "TrainerProfile"),
        ("ftsdk.forecast", "Outlook", "MemoryEstimate"),
        ("ftsdk.forecast", "Shape", "Architecture"),
        ("ftsdk.forecast", "outlook", "estimate_memory"),
    ],
)
def test_renamed_parts_of_the_contract(module: str, old: str, new: str) -> None:
    """What a plan is made with has its old names, too; the warning shows the line that uses one."""
    with pytest.warns(DeprecationWarning, match=f"use {module}.{new}$") as caught:
        part = getattr(import_module(module), old)

    assert getattr(import_module(module), new) is part
    assert [__file__] == [warning.filename for warning in caught]


def test_the_ledger_has_its_old_methods() -> None:
    """A translation with the old verbs gives the same plan as with the new ones."""
    with pytest.warns(DeprecationWarning, match=r"use ftsdk\.translation\.ledger\."):
        from ftsdk.kit.ledger import Ledger, Only
    spec = ftsdk.JobSpec(model="m", dataset="d.jsonl", adapter=None, compute={"quantization": None, "devices": 1})
    ledger = Ledger("acme", spec)

    ledger.take("model", "base_model")
    ledger.take("dataset.path")
    ledger.take("adapter")
    ledger.leave("compute.quantization", "acme decides it")
    ledger.hold_to({"training.packing": Only(False, "acme does not pack")})
    ledger.withhold({"training.seed": "acme draws its own"})
    ledger.set_advice_aside({}, "acme decides it")
    ledger.close()

    assert {"model", "dataset.path", "adapter", "training.packing"} == set(ledger.honoured)
    assert ["compute.quantization", "compute.devices"] == [note.field for note in ledger.set_aside]
    assert ["training.seed"] == [note.field for note in ledger.own]
    assert ledger.is_given("adapter")


def test_a_backend_of_the_first_version_still_plans(tmp_path: Path) -> None:
    """The example backend of the docs, as it was, gives its plan; the warnings name each new place."""
    for name, code in FILE.findall((HERE / "write_a_backend_0_1.md").read_text(encoding="utf-8")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    process = subprocess.run([sys.executable, "-c", PLAN], cwd=tmp_path, capture_output=True, text=True, check=False)
    *messages, request, function_is_left = process.stdout.splitlines()

    assert {
        "ftsdk.backend.PlanNote",
        "ftsdk.job_types.Event",
        "ftsdk.job_types.JobState",
        "ftsdk.job_types.JobStatus",
        "ftsdk.job_types.Reason",
        "ftsdk.translation.ledger.Ledger",
    } == {message.rpartition("use ")[2] for message in messages}, process.stderr
    assert "'base_model': 'org/m', 'epochs': 2.0" in request
    assert "True" == function_is_left
