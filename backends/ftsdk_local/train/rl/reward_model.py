"""Rewards: the source that a plan names, and a reward model loaded beside the policy."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoTokenizer

from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.job_types import Reason
from ftsdk.modeling.loading import explain_load_errors, load_scorer
from ftsdk.modeling.settings import ModelSettings
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.settings import Settings
from ftsdk_local.train.rl.rewards import Response, Reward, function_reward


class RewardSource(NamedTuple):
    """A reward model on this disk."""

    folder: Path
    adapter: dict[str, Any] | None
    """PEFT's settings, where it is an adapter; None: a full model."""

    def shares_base(self, settings: ModelSettings) -> bool:
        """Whether it is an adapter on the policy's base; an adapter that names no revision matches any."""
        if self.adapter is None or self.adapter["base_model_name_or_path"] != settings.name:
            return False
        return self.adapter.get("revision") in (None, settings.revision)


def find_reward(settings: Settings, tokenizer: Any, reporter: EventWriter) -> Reward | RewardSource:
    """The function of ``method.reward``, or its reward model, which is loaded later, beside the policy.

    Raises:
        WorkerError: The function cannot be imported, or the model cannot be used.
    """
    assert settings.reward is not None
    if settings.reward.model is None:
        return function_reward(settings.reward, reporter)
    return find_reward_model(settings.reward.model, settings.reward.revision, tokenizer)


def find_reward_model(name: str, revision: str | None, tokenizer: Any) -> RewardSource:
    """A reward model's folder, downloaded if it is on the Hub; its tokenizer must be the policy's.

    Raises:
        WorkerError: It cannot be loaded, or it has another tokenizer.
    """
    with explain_load_errors(name):
        folder = Path(name) if Path(name).is_dir() else Path(_download(name, revision))
        reward_tokenizer = AutoTokenizer.from_pretrained(folder)
    # Responses are scored as tokens: decoding and encoding them again could give other tokens than were sampled.
    if reward_tokenizer.get_vocab() != tokenizer.get_vocab():
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"method.reward: {name} has another tokenizer than the policy, so its scores mean nothing",
            hint="train a reward model on a base with the policy's tokenizer",
        )
    config = folder / ADAPTER_CONFIG
    return RewardSource(folder, json.loads(config.read_text("utf-8")) if config.is_file() else None)


def _download(name: str, revision: str | None) -> str:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for Hub models

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
    return snapshot_download(name, revision=revision, allow_patterns=patterns)  # no pickles


def load_reward_model(source: RewardSource, settings: ModelSettings, device: torch.device) -> Reward:
    """Score with a model beside the policy's, in the same precision and quantization as the policy's base.

    Args:
        source: A full model, or an adapter on another base.
        settings: How the policy's base is loaded.
        device: Where to.
    """
    model = _load(source, settings, device).eval()
    backbone = getattr(model, model.base_model_prefix)
    head: nn.Module = model.score

    @torch.no_grad()
    def reward(responses: Sequence[Response]) -> list[float]:
        scores = []
        # One by one: padding would need a mask that not every architecture handles alike, and the scores of a response
        # must not depend on the batch.
        for response in responses:
            ids_1T = torch.from_numpy(response.input_ids).long()[None].to(device)
            hidden_H = backbone(input_ids=ids_1T, use_cache=False).last_hidden_state[0, -1]
            scores.append(float(head(hidden_H.float())))
        return scores

    return reward


def _load(source: RewardSource, settings: ModelSettings, device: torch.device) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - heavy

    if source.adapter is None:
        return load_scorer(
            settings.model_copy(update={"name": str(source.folder), "revision": None}), device, trains=False
        )
    base = {"name": source.adapter["base_model_name_or_path"], "revision": source.adapter.get("revision")}
    model = load_scorer(settings.model_copy(update=base), device, trains=False)
    return PeftModel.from_pretrained(model, str(source.folder)).get_base_model()
