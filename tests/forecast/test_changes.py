"""The smallest changes that make a job fit: each is enough, none is unnecessary."""

from hypothesis import given
from hypothesis import strategies as st
from model_configs import LLAMA_3_8B

from ftsdk import JobSpec
from ftsdk.forecast import (
    LOGIT_ROWS,
    Architecture,
    MemoryInputs,
    TrainerProfile,
    changes_that_fit,
    length_that_fits,
    rows_that_fit,
)

GIB = 2**30
ARCHITECTURE = Architecture.from_config(LLAMA_3_8B)


def job(rows=1, logit_rows=LOGIT_ROWS, **fields):
    trainer = TrainerProfile(
        logit_rows=logit_rows,
        checkpointing=fields.get("compute", {}).get("gradient_checkpointing", True),
    )
    spec = JobSpec.model_validate({"model": "a", "dataset": "b.jsonl", **fields})
    return spec, MemoryInputs(architecture=ARCHITECTURE, trainer=trainer, rows=rows)


def fields_of(changes):
    return [list(change.settings) for change in changes]


def test_what_fits_needs_no_change():
    """For Llama-3-8B in nf4 on 24 GiB, no change is offered."""
    assert () == changes_that_fit(*job(compute={"quantization": "nf4"}), limit=24 * GIB)


def test_each_change_is_enough_by_itself():
    """Fewer rows and nf4 each help alone; the gentlest, which leaves the result as it is, comes first."""
    spec, inputs = job(rows=4, logit_rows=None)

    changes = changes_that_fit(spec, inputs, limit=24 * GIB)

    assert ["compute.per_device_train_batch_size", "compute.quantization"] == [
        field for [field] in fields_of(changes) if field.startswith("compute.")
    ]
    assert all(change.memory.total <= 24 * GIB for change in changes)


def test_rows_that_are_offered_divide_the_step():
    """Engines that accumulate whole batches could not use another number."""
    spec, inputs = job(rows=8, logit_rows=None, training={"global_batch_size": 12})

    first = changes_that_fit(spec, inputs, limit=24 * GIB)[0]

    assert first.settings == {"compute.per_device_train_batch_size": 3}


def test_every_weight_trained_becomes_an_adapter():
    """Only an adapter makes a full fine-tune of 8B fit into 24 GiB, and no unnecessary change is named beside it."""
    changes = changes_that_fit(*job(adapter=None), limit=24 * GIB)

    assert [["adapter"]] == fields_of(changes)


def test_changes_are_joined_where_none_is_enough():
    """The fewest together: without any of them it would not fit."""
    spec, inputs = job(compute={"gradient_checkpointing": False}, training={"max_length": 16384})

    [change] = changes_that_fit(spec, inputs, limit=8 * GIB)

    assert {"compute.gradient_checkpointing", "compute.quantization"} <= set(change.settings)
    assert change.memory.total <= 8 * GIB


def test_no_change_is_offered_where_none_helps():
    """An 8B model does not fit into 2 GiB with any change."""
    assert () == changes_that_fit(*job(), limit=2 * GIB)


@given(st.integers(5, 80), st.integers(1, 16), st.sampled_from([None, "nf4"]), st.sampled_from([512, 4096, 20000]))
def test_a_change_fits_as_forecast(gib, rows, quantization, length):
    """A spec with the change has the forecast total, and fits."""
    spec, inputs = job(rows, compute={"quantization": quantization}, training={"max_length": length})

    for change in changes_that_fit(spec, inputs, limit=gib * GIB):
        written = JobSpec.model_validate(_with(spec, change.settings))
        after = inputs.replace(
            rows=written.compute.per_device_train_batch_size,
            checkpointing=written.compute.gradient_checkpointing is not False,
        )

        assert change.memory == after.forecast(written)
        assert change.memory.total <= gib * GIB


@given(st.integers(6, 80))
def test_the_largest_that_fit(gib):
    """One row more, or one token more, would not fit."""
    spec, inputs = job(compute={"quantization": "nf4"})
    limit = gib * GIB

    rows, length = rows_that_fit(spec, inputs, limit=limit), length_that_fits(spec, inputs, limit=limit)

    assert rows == 0 or inputs.replace(rows=rows).forecast(spec).total <= limit
    assert inputs.replace(rows=rows + 1).forecast(spec).total > limit
    longer = spec.model_copy(update={"training": spec.training.model_copy(update={"max_length": length + 1})})
    assert inputs.forecast(longer).total > limit


def _with(spec, settings):
    """The spec's fields with dotted changes."""
    fields = spec.model_dump(exclude_unset=True)
    for field, value in settings.items():
        section, _, name = field.rpartition(".")
        new = {} if (field, value) == ("adapter", "lora") else value
        fields = {**fields, **({section: {**fields.get(section, {}), name: new}} if section else {name: new})}
    return fields
