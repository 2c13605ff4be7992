"""What a response is worth by a reward model: an adapter on the policy's base where it fits, else on its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoTokenizer

from ftsdk.job import Reason
from ftsdk.kit.jobs.outcome import Failure
from ftsdk.kit.sources import ADAPTER_CONFIG
from ftsdk_local.engine.actor import Actor
from ftsdk_local.engine.adapter import ADAPTER_WEIGHTS
from ftsdk_local.engine.batches import Example
from ftsdk_local.engine.model import load_scorer, told
from ftsdk_local.engine.rewards import Response, Reward
from ftsdk_local.engine.roles import REWARD, Roles
from ftsdk_local.settings import ModelSettings


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
        raise Failure(
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


def reward_on_base(source: RewardSource, actor: Actor) -> Reward:
    """Score with the reward model's adapter on the policy's own base; see :func:`put_on_base`."""
    head_1H = _score_head(source.folder).to(actor.device)

    def reward(responses: Sequence[Response]) -> list[float]:
        rows = [Example(response.input_ids, response.input_ids) for response in responses]
        hidden_BH = actor.last_hidden_states(rows, REWARD)
        scores: list[float] = (hidden_BH @ head_1H.T).squeeze(1).tolist()
        return scores

    return reward


def put_on_base(source: RewardSource, roles: Roles) -> None:
    """Add the reward model's adapter to the policy's base."""
    assert source.adapter is not None
    names = ("r", "lora_alpha", "target_modules", "use_dora", "use_rslora", "bias")
    roles.add_reward(source.folder, {name: source.adapter[name] for name in names})


def _score_head(folder: Path) -> Tensor:
    weights = load_file(folder / ADAPTER_WEIGHTS)
    found = [tensor for key, tensor in weights.items() if key.endswith("score.weight")]
    if len(found) != 1 or found[0].shape[0] != 1:
        raise Failure(
            Reason.ENGINE_ERROR,
            f"method.reward: the adapter in {folder} has no score head of one output",
            hint="give a reward model that method reward_modeling has made",
        )
    return found[0].float()


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
