"""What a response is worth by a reward model that is loaded beside the policy."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import AutoTokenizer

from ftsdk.artifact.model_files import ADAPTER_CONFIG
from ftsdk.job_types import Reason
from ftsdk.modeling.loading import load_scorer, told
from ftsdk.modeling.settings import ModelSettings
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.train.rl.rewards import Response, Reward


class RewardSource(NamedTuple):
    """A reward model on this disk."""

    folder: Path
    adapter: dict[str, Any] | None
    """PEFT's settings, where it is an adapter; None: a whole model."""

    def shares_base(self, settings: ModelSettings) -> bool:
        """Whether it is an adapter on the same base as the policy; one that names no revision takes any."""
        if self.adapter is None or self.adapter["base_model_name_or_path"] != settings.name:
            return False
        return self.adapter.get("revision") in (None, settings.revision)


def find_reward_model(name: str, revision: str | None, tokenizer: Any) -> RewardSource:
    """A reward model's folder, fetched from the Hub where it lies there; it must read the policy's tokens.

    Raises:
        Failure: It cannot be had, or it has another tokenizer.
    """
    with told(name):
        folder = Path(name) if Path(name).is_dir() else Path(_download(name, revision))
        theirs = AutoTokenizer.from_pretrained(folder)
    if theirs.get_vocab() != tokenizer.get_vocab():
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"method.reward: the reward model {name} has another tokenizer than the policy, so it would read nonsense",
            hint="train a reward model on a base with the policy's tokenizer",
        )
    config = folder / ADAPTER_CONFIG
    return RewardSource(folder, json.loads(config.read_text("utf-8")) if config.is_file() else None)


def _download(name: str, revision: str | None) -> str:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only for Hub models

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model"]
    return snapshot_download(name, revision=revision, allow_patterns=wanted)


def reward_of_its_own(source: RewardSource, settings: ModelSettings, device: torch.device) -> Reward:
    """Score with a model beside the policy's, held in memory the same way as the policy's base.

    Args:
        source: A whole model, or an adapter on another base.
        settings: How the policy's base is held.
        device: Where to.
    """
    model = _load(source, settings, device).eval()
    backbone = getattr(model, model.base_model_prefix)
    head: nn.Module = model.score

    @torch.no_grad()
    def reward(responses: Sequence[Response]) -> list[float]:
        scores = []
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
