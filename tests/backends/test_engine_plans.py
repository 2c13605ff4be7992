"""What every engine's plan does alike, whatever the engine calls it."""

from importlib import import_module

import pytest
from engine_translations import Translation
from hypothesis import given
from hypothesis import strategies as st
from repository_backends import PACKAGES, TOKEN_ENGINES

from ftsdk.errors import UnsupportedSpec
from ftsdk.huggingface.revisions import Pin

ENGINES = {
    name: Translation(import_module(f"{PACKAGES[name]}.translate"), engine.Options, engine.environment.version)
    for name, engine in TOKEN_ENGINES.items()
}
engines = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)


@engines
def test_a_folder_has_no_revision(engine, tiny_model):
    """A folder has no revisions."""
    assert "model_revision" in engine.refused({"model": str(tiny_model), "model_revision": "main"})


@engines
def test_what_comes_from_the_hub_is_pinned(engine):
    """The runner downloads the model at its commit, the worker the rows at theirs."""
    pins = {"model": Pin("0123abc"), "dataset": Pin("4567def")}
    task = engine.planned({"dataset": "org/rows"}, pins=pins).native["task"]

    assert ("0123abc", "4567def") == (task["model_revision"], task["dataset"]["revision"])


@engines
def test_no_forecast_without_a_configuration(engine):
    """A model that is elsewhere has no forecast, and the plan gives the reason."""
    plan = engine.planned()

    assert (plan.memory, plan.not_forecast) == (None, "the configuration of org/base is not on this machine")


@engines
def test_a_damaged_config_is_named(engine, tmp_path):
    """The error has the file, before anything runs."""
    (tmp_path / "config.json").write_text("{")

    assert "config.json is damaged: it is not a JSON object" in engine.refused({"model": str(tmp_path)})["model"]


@engines
@given(step_rows=st.integers(1, 512), batch_rows=st.none() | st.integers(1, 64))
def test_batches_are_kept(engine, step_rows, batch_rows):
    """However a step is cut, it has as many rows as in the spec, or the spec is refused."""
    compute = {} if batch_rows is None or batch_rows > step_rows else {"per_device_train_batch_size": batch_rows}
    try:
        config = engine.planned({"training": {"global_batch_size": step_rows}, "compute": compute}).native["config"]
    except UnsupportedSpec:
        assert step_rows % batch_rows
    else:
        arguments = config.get("arguments", config)
        rows = arguments.get("micro_batch_size") or arguments["per_device_train_batch_size"]
        assert step_rows == rows * arguments["gradient_accumulation_steps"]
