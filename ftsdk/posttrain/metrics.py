"""Metrics over held-out rows, by method, from the same tokens, labels and losses as in training."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from ftsdk.artifact import Comparison
from ftsdk.data import Row
from ftsdk.modeling.batches import Unit, bins_of, lay_end_to_end, tokens_of
from ftsdk.modeling.encoded_rows import encode
from ftsdk.modeling.memory import MOST_TOKENS, MicroBatch, until_it_fits
from ftsdk.modeling.objective import Objective, Route, find_route
from ftsdk.modeling.pair_objective import PairObjective
from ftsdk.modeling.pairs import encode_pairs
from ftsdk.spec import DPO, SFT, JobSpec, RewardModeling

Units = Sequence[Unit]
Means = Mapping[str, float]


class MethodMetrics(NamedTuple):
    """How the metrics of a method are computed."""

    encode: Callable[[Sequence[Row], Any, JobSpec], Units]
    """Rows to tokens."""
    measure: Callable[[Any, Units, JobSpec, torch.dtype], Any]
    """Of one model, over the encoded rows."""
    compare: Callable[[Any, Any, JobSpec], tuple[Comparison, ...]]
    """The metrics, from the measurements of base and artifact."""


def _encode_rows(rows: Sequence[Row], tokenizer: Any, spec: JobSpec) -> Units:
    train_on = spec.method.train_on if isinstance(spec.method, SFT) else "assistant"
    return encode(rows, tokenizer, train_on=train_on, max_length=spec.training.max_length).examples


def _encode_pairs(rows: Sequence[Row], tokenizer: Any, spec: JobSpec) -> Units:
    return encode_pairs(rows, tokenizer, max_length=spec.training.max_length).examples


def _mean_token_loss(model: Any, units: Units, _: JobSpec, dtype: torch.dtype) -> Means:
    """The mean over all tokens that carry loss."""
    return _means(model, units, partial(Objective, model), dtype)


def _mean_reward_metrics(model: Any, units: Units, spec: JobSpec, dtype: torch.dtype) -> Means:
    """The mean over pairs."""
    assert isinstance(spec.method, RewardModeling)
    return _means(model, units, partial(PairObjective, model, center=spec.method.center_rewards_coefficient), dtype)


def _log_probs(model: Any, units: Units, _: JobSpec, dtype: torch.dtype) -> torch.Tensor:
    """Log-probabilities of both answers of each pair, P x 2: sums over their tokens, in float64."""
    with _measuring(model, units, dtype) as route:
        objective, device = Objective(model, route), model.get_input_embeddings().weight.device
        return torch.tensor(
            [[-objective(lay_end_to_end([row]).to(device))["loss"].item() for row in unit.rows] for unit in units],
            dtype=torch.float64,  # rewards are small differences of these large sums
        )


def _means(model: Any, units: Units, objective_of: Callable[[Route], Any], dtype: torch.dtype) -> Means:
    device = model.get_input_embeddings().weight.device
    weight = sum(unit.weight for unit in units)
    with _measuring(model, units, dtype) as route:
        objective = objective_of(route)
        micro_batch = MicroBatch(MOST_TOKENS[device.type], None if route.end_to_end else 1)

        def sums() -> dict[str, float]:
            totals: dict[str, float] = {}
            for bin_ in bins_of(units, micro_batch.tokens, micro_batch.rows):
                for name, term in objective(bin_.to(device)).items():
                    totals[name] = totals.get(name, 0.0) + term.item()
            return totals

        longest, rows = max(map(tokens_of, units)), max(len(unit.rows) for unit in units)
        means = until_it_fits(sums, micro_batch, longest=longest, rows=rows, device=device, warn=lambda _: None)
    return {name: total / weight for name, total in means.items()}


@contextmanager
def _measuring(model: Any, units: Units, dtype: torch.dtype) -> Iterator[Route]:
    """Without gradients, in the trainer's precision, by the route that needs least memory."""
    device = model.get_input_embeddings().weight.device
    mixed = device.type == "cuda" and dtype is not torch.float32
    attention = model.config._attn_implementation  # noqa: SLF001 - Transformers' only name for it
    try:
        with torch.no_grad(), torch.autocast(device.type, dtype if mixed else torch.bfloat16, enabled=mixed):
            yield find_route(model, [row for unit in units[:2] for row in unit.rows])
    finally:
        # find_route may have set another attention, which generation and tasks must not run with.
        model.set_attn_implementation(attention)


def _compare_losses(base: Means, artifact: Means, _: JobSpec) -> tuple[Comparison, ...]:
    return (
        Comparison(metric="loss", base=base["loss"], artifact=artifact["loss"], higher_is_better=False),
        Comparison(
            metric="perplexity",
            base=math.exp(base["loss"]),
            artifact=math.exp(artifact["loss"]),
            higher_is_better=False,
        ),
    )


def _compare_reward_metrics(base: Means, artifact: Means, _: JobSpec) -> tuple[Comparison, ...]:
    better = {"loss": False, "accuracy": True, "margin": True}
    return tuple(
        Comparison(metric=name, base=base[name], artifact=artifact[name], higher_is_better=higher)
        for name, higher in better.items()
    )


def _compare_implicit_rewards(
    base_P2: torch.Tensor, artifact_P2: torch.Tensor, spec: JobSpec
) -> tuple[Comparison, ...]:
    """Rewards of DPO, beta log(policy / base). Those of the base itself are 0, so its accuracy is that of a guess."""
    assert isinstance(spec.method, DPO)
    margins = {
        "base": torch.zeros(len(base_P2), dtype=torch.float64),
        "artifact": spec.method.beta * (artifact_P2 - base_P2) @ torch.tensor([1.0, -1.0], dtype=torch.float64),
    }
    half = torch.tensor(0.5, dtype=torch.float64)
    metrics = {
        "accuracy": {model: torch.heaviside(margin_P, half).mean().item() for model, margin_P in margins.items()},
        "margin": {model: margin_P.mean().item() for model, margin_P in margins.items()},
    }
    # Other losses depend on lengths or on label smoothing, too; only this one is computed from the margin alone.
    if spec.method.loss_type == "sigmoid" and not spec.method.label_smoothing:
        losses = {model: -functional.logsigmoid(margin_P).mean().item() for model, margin_P in margins.items()}
        metrics = {"loss": losses, **metrics}
    return tuple(
        Comparison(metric=name, **numbers, higher_is_better=name != "loss") for name, numbers in metrics.items()
    )


METRICS = {
    "sft": MethodMetrics(_encode_rows, _mean_token_loss, _compare_losses),
    "dpo": MethodMetrics(_encode_pairs, _log_probs, _compare_implicit_rewards),
    "reward_modeling": MethodMetrics(_encode_pairs, _mean_reward_metrics, _compare_reward_metrics),
}
"""From a method to the metrics over its rows."""
