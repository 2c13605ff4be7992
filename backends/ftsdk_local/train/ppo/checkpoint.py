"""PPO's checkpoints: weights of policy and value, optimizer, schedule, scaler and progress.

States of random generators are not in them: random numbers follow from the seed and the number of the update.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.trainer import OPTIMIZER_NAME, TRAINER_STATE_NAME
from transformers.trainer_callback import TrainerState

from ftsdk_local.train.common.checkpoint import numbered_checkpoints
from ftsdk_local.train.ppo.roles import POLICY, VALUE, Roles

_WEIGHTS = {POLICY: "policy.safetensors", VALUE: "value.safetensors"}


def save(folder: Path, roles: Roles, stateful: dict[str, Any], state: TrainerState, keep: int) -> None:
    """Write a checkpoint, not yet sealed, and remove the oldest beyond ``keep``.

    Args:
        folder: The checkpoint's own, named ``checkpoint-N``.
        roles: Whose weights are kept: those of policy and value.
        stateful: Optimizer, schedule and scaler, by name.
        state: Progress of the training.
        keep: Checkpoints to keep, this one included.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for role, name in _WEIGHTS.items():
        save_file({key: weight.detach().contiguous() for key, weight in roles.weights(role).items()}, folder / name)
    torch.save({name: part.state_dict() for name, part in stateful.items()}, folder / OPTIMIZER_NAME)
    state.save_to_json(str(folder / TRAINER_STATE_NAME))
    for path in numbered_checkpoints(folder.parent)[:-keep]:
        shutil.rmtree(path)


def restore(folder: Path, roles: Roles, stateful: dict[str, Any]) -> TrainerState:
    """Load a checkpoint's state into the given objects; returns the progress of the training."""
    for role, name in _WEIGHTS.items():
        weights: dict[str, Tensor] = load_file(folder / name)
        with torch.no_grad():
            for key, weight in roles.weights(role).items():
                weight.copy_(weights[key])
    # Copied into the existing tensors above: the optimizer holds references to them.
    saved = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
    for name, part in stateful.items():
        part.load_state_dict(saved[name])
    return TrainerState.load_from_json(str(folder / TRAINER_STATE_NAME))
