"""Rewards by a reward model's adapter on the policy's own base."""

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from ftsdk.artifact.model_files import ADAPTER_WEIGHTS
from ftsdk.job_types import Reason
from ftsdk.modeling.batches import Example
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.train.ppo.actor import Actor
from ftsdk_local.train.ppo.roles import REWARD, Roles
from ftsdk_local.train.rl.reward_model import RewardSource
from ftsdk_local.train.rl.rewards import Response, Reward


def load_reward_adapter(source: RewardSource, actor: Actor) -> Reward:
    """Score with the reward model's adapter on the policy's own base; after :func:`add_reward_adapter`."""
    head_1H = _score_head(source.folder).to(actor.device)

    def reward(responses: Sequence[Response]) -> list[float]:
        rows = [Example(response.input_ids, response.input_ids) for response in responses]
        hidden_BH = actor.last_hidden_states(rows, REWARD)
        scores: list[float] = (hidden_BH @ head_1H.T).squeeze(1).tolist()
        return scores

    return reward


def add_reward_adapter(source: RewardSource, roles: Roles) -> None:
    """Add the reward model's adapter to the policy's base."""
    assert source.adapter is not None
    # Without the task type: with SEQ_CLS, PEFT would look for a score head, which the policy's base does not have.
    names = ("r", "lora_alpha", "target_modules", "use_dora", "use_rslora", "bias")
    roles.add_reward(source.folder, {name: source.adapter[name] for name in names})


def _score_head(folder: Path) -> Tensor:
    weights = load_file(folder / ADAPTER_WEIGHTS)
    heads = [tensor for key, tensor in weights.items() if key.endswith("score.weight")]
    if len(heads) != 1 or heads[0].shape[0] != 1:
        raise WorkerError(
            Reason.ENGINE_ERROR,
            f"method.reward: the adapter in {folder} has no score head of one output",
            hint="use a reward model that was trained by method reward_modeling",
        )
    return heads[0].float()
