"""When memory runs out the trainer takes less at a time, and the training stays the same."""

import pytest
import torch
from tiny_models import metrics_of

from ftsdk.job_types import Reason
from ftsdk.modeling.objective import Objective
from ftsdk.workers.event_writer import read_events
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.train.common.checkpoint import newest_sealed

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]

STEPS = 3


@pytest.fixture
def small_memory(monkeypatch):
    """From now on, the loss of a bin runs out of memory where the given condition holds."""

    def shrink(too_much, error=torch.OutOfMemoryError):
        compute = Objective.__call__

        def limited(self, bin_):
            if too_much(bin_):
                raise error("CUDA out of memory. Tried to allocate 20.00 MiB")
            return compute(self, bin_)

        monkeypatch.setattr(Objective, "__call__", limited)

    return shrink


@pytest.fixture
def short(make_spec):
    """Three steps without dropout; the cut is the only thing that can change anything."""
    return lambda **compute: make_spec(
        training={"max_steps": STEPS}, compute={"quantization": None, "dtype": "float32", **compute}
    )


def warnings_of(folder):
    return [event.message for event in read_events(folder.events) if event.kind == "warning"]


@pytest.mark.numeric
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_half_as_much_until_it_fits(short, train, small_memory, error):
    """However often it is halved, the losses are those of a run with plenty of memory."""
    plenty = train(short(), "plenty")

    small_memory(lambda bin_: sum(bin_.lengths) > 200, error)
    scarce = train(short(), "scarce")

    assert metrics_of(scarce, "loss") == pytest.approx(metrics_of(plenty, "loss"), rel=1e-5)
    assert ["2048", "1024", "512", "256"] == [text.split()[4] for text in warnings_of(scarce)]


def test_a_step_that_broke_off_leaves_nothing_behind(short, train, small_memory):
    """Gradients of the bins before the one that did not fit are not counted twice."""
    one_by_one = train(short(per_device_train_batch_size=1), "one by one")

    third = iter([False, False, True])
    small_memory(lambda _: next(third, False))
    halved = train(short(per_device_train_batch_size=2), "halved")

    names = ("loss", "grad_norm")
    assert [metrics_of(one_by_one, name) for name in names] == [metrics_of(halved, name) for name in names]


def test_what_fits_is_remembered(short, train, small_memory):
    """A checkpoint keeps the cut that was found, so that a resumed run adds up in the same order."""
    small_memory(lambda bin_: sum(bin_.lengths) > 200)

    _, facts = newest_sealed(train(short()).checkpoints)

    assert 128 == facts["tokens_at_a_time"]


def test_a_single_row_that_does_not_fit_ends_the_job(short, train, small_memory):
    """With nothing left to halve, the failure names the row's length, the peak, the evidence, and what helps."""
    small_memory(lambda _: True)

    with pytest.raises(WorkerError, match=r"a single row of \d+ tokens .* GiB \(CUDA out of memory") as caught:
        train(short())

    assert (Reason.OOM, True) == (caught.value.reason, "compute.gradient_checkpointing=true" in caught.value.hint)


def test_evaluation_takes_less_at_a_time_too(make_spec, train, small_memory):
    """Held-out rows that do not fit at once are evaluated in parts."""
    small_memory(lambda bin_: not torch.is_grad_enabled() and sum(bin_.lengths) > 200)

    folder = train(make_spec(val_size=16, training={"max_steps": 1}))

    assert (2, True) == (len(metrics_of(folder, "eval_loss")), "out of memory" in warnings_of(folder)[0])


def test_other_errors_are_not_taken_for_it(short, train, small_memory):
    """An error that has nothing to do with memory comes out as it is."""
    small_memory(lambda _: True, error=ZeroDivisionError)

    with pytest.raises(ZeroDivisionError):
        train(short())
