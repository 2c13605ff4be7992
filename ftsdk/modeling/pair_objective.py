"""The scores that a reward model gives to rows, and its loss on pairs of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ftsdk.modeling.batches import Bin, Unit, rows_alone
from ftsdk.modeling.losses import pair_losses
from ftsdk.modeling.objective import Route, Sums, hidden_states


class PairObjective:
    """Sums the loss of pairs over a bin, and how well the better rows are ranked above the worse ones.

    Args:
        model: A model with a head ``score``, without a PEFT wrapper around it.
        route: From :func:`ftsdk.modeling.objective.find_route`.
        center: Weight of the term that keeps the scores around zero.
    """

    def __init__(self, model: Any, route: Route, center: float) -> None:
        self.model = model
        self.route = route
        self.center = center

    def __call__(self, bin_: Bin) -> Sums:
        """Over a bin of pairs, the chosen row of each before the rejected one; all in float32."""
        scores_P2 = scores_of(self.model, self.route, bin_).view(-1, 2)
        chosen_P, rejected_P = scores_P2.unbind(-1)
        return {
            "loss": pair_losses(chosen_P, rejected_P, self.center).sum(),
            "accuracy": torch.heaviside(chosen_P - rejected_P, chosen_P.new_tensor(0.5)).sum(),  # a tie is half right
            "margin": (chosen_P - rejected_P).sum(),
            "score": scores_P2.mean(-1).sum(),
        }


def scores_of(model: Any, route: Route, bin_: Bin) -> Tensor:
    """The score of each row of a bin, in float32, read at its last token.

    Args:
        model: With a head ``score`` in float32.
        route: Whether the rows may stay together.
        bin_: Rows laid end to end.
    """
    parts = [bin_] if route.end_to_end else rows_alone(bin_)
    last_RH = torch.cat([hidden_states(model, part)[part.starts[1:].long() - 1] for part in parts])
    # Scores are compared with each other: in bfloat16 two good answers often round to the same number. So the head
    # computes in float32 also inside the trainer's autocast.
    with torch.autocast(last_RH.device.type, enabled=False):
        scores_R: Tensor = model.score(last_RH.float()).squeeze(-1)
    return scores_R


def end_tokens(units: Iterable[Sequence[Unit]]) -> set[int]:
    """The last token of each row: padding with one of them would move the place where a score is read."""
    return {int(row.input_ids[-1]) for part in units for unit in part for row in unit.rows}
