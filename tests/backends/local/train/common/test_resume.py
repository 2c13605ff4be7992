"""A resumed run decides as one that was left in peace."""

import shutil

import pytest

from ftsdk.files import sha256
from ftsdk.workers.metrics import metrics_by_step

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]


def essence(folder):
    """Losses of every step, and the weights: what must not depend on interruptions."""
    losses = {step: (row.get("loss"), row.get("eval_loss")) for step, row in sorted(metrics_by_step(folder).items())}
    return losses, sha256(folder.artifact / "adapter_model.safetensors")


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_patience_is_not_renewed(make_spec, train, stop_after):
    """Early stopping counts on where it was: the evaluations before an interruption are not forgotten."""
    spec = make_spec(
        val_size=8,
        adapter={"alpha": 400, "dropout": 0.1},
        training={"max_steps": 30, "learning_rate": 0.3, "eval_steps": 1, "early_stopping_patience": 3},
    )
    uninterrupted = train(spec, "whole")

    train(spec, "parted", stop_after=stop_after)
    resumed = train(spec, "parted")

    assert essence(uninterrupted) == essence(resumed)


def test_only_the_export_is_left(make_spec, train):
    """A run that lost its artifact after the last step makes it again from the last checkpoint, without a step more."""
    spec = make_spec(adapter={"dropout": 0.1}, val_size=8)
    folder = train(spec)
    before = essence(folder)

    shutil.rmtree(folder.artifact)
    train(spec)

    assert before == essence(folder)
