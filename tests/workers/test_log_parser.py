"""What trainers print is parsed, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.workers.log_parser import ProgressBar, parse_metrics, parse_progress_bar

VALUES = {
    "{'loss': 1.5, 'learning_rate': 2e-05, 'epoch': 0.5}": {"loss": 1.5, "learning_rate": 2e-05, "epoch": 0.5},
    '{"loss": 1.5, "step": 3}': {"loss": 1.5, "step": 3.0},
    "{'loss': '1.5', 'epoch': '0.5'}": {"loss": 1.5, "epoch": 0.5},
    "INFO | x:on_log:367 - {'loss': 2.0, 'rewards/chosen': 0.1}": {"loss": 2.0, "rewards_chosen": 0.1},
    "{'loss': nan, 'grad_norm': inf, 'epoch': 1.0}": {"epoch": 1.0},
    "{'eval_loss': 0.5, 'note': 'fine'}": {"eval_loss": 0.5},
    "{'model': 'x', 'seed': 42}": {},
    "no braces, loss: 1.5": {},
    "{broken": {},
}


@pytest.mark.parametrize("line", VALUES)
def test_values(line):
    """The sets of values that Trainer prints, in any spelling, and no other braces."""
    assert VALUES[line] == parse_metrics(line)


BARS = {
    " 30%|###       | 3/10 [00:01<00:02,  3.00it/s]": ProgressBar(3, 10, 2.0),
    "100%|##| 10/10 [1:02:03<01:00:00, 1.0s/it]": ProgressBar(10, 10, 3600.0),
    "  0%|          | 0/10 [00:00<?, ?it/s]": ProgressBar(0, 10, None),
    "3/10 of the rows": None,
}


@pytest.mark.parametrize("line", BARS)
def test_bars(line):
    """Tqdm's bar, and nothing that merely looks like a fraction."""
    assert BARS[line] == parse_progress_bar(line)


@given(st.text(alphabet="{}'\":,.0123456789-einfaloss []<?/|", max_size=80))
def test_any_line(line):
    """Whatever is printed, it is read without an error, and every value is finite."""
    assert all(abs(value) < float("inf") for value in parse_metrics(line).values())
    assert parse_progress_bar(line) is None or parse_progress_bar(line).total >= 0
