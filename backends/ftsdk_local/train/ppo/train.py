"""PPO, from the plan to the trained policy: the stages before the first update, in their order."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from transformers import TrainingArguments

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.batches import Example
from ftsdk.modeling.loading import load_base
from ftsdk.modeling.objective import Route, find_route
from ftsdk.modeling.stop_tokens import stop_tokens
from ftsdk.spec import PPO, JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.arguments import training_arguments
from ftsdk_local.train.common.batch_sizing import size_batches, size_sampling
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.checkpoint import newest_sealed
from ftsdk_local.train.common.stages import TrainedModel, check_vocabulary, prepare_machine, prepare_tokenizer
from ftsdk_local.train.ppo.actor import Actor
from ftsdk_local.train.ppo.loop import PPOLoop
from ftsdk_local.train.ppo.reward_adapter import add_reward_adapter, load_reward_adapter
from ftsdk_local.train.ppo.roles import Roles
from ftsdk_local.train.ppo.update import RolloutScorer
from ftsdk_local.train.rl.prompts import Prompts, read_prompts
from ftsdk_local.train.rl.reward_model import RewardSource, find_reward, load_reward_model
from ftsdk_local.train.rl.rewards import Reward


def train(
    folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest
) -> TrainedModel:
    """Run PPO; continue from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: A stop was requested; a checkpoint is sealed.
        WorkerError: It cannot fit, it diverged, or the reward cannot be used.
        DataError: Prompts cannot be used.
    """
    assert isinstance(spec.method, PPO)
    options = spec.method

    # 1. The machine
    device = prepare_machine(settings)

    # 2. The prompts, and what scores the responses
    reporter.stage("reading data")
    tokenizer = prepare_tokenizer(settings)
    prompts = read_prompts(settings, tokenizer, folder, reporter, max_new_tokens=options.max_new_tokens)
    source = find_reward(settings, tokenizer, reporter)

    # 3. The model with its roles
    reporter.stage("loading model")
    base = load_base(settings.model, device, trains=False)
    check_vocabulary(base, tokenizer)
    roles = Roles(base, settings)
    if isinstance(source, RewardSource) and source.shares_base(settings.model):
        add_reward_adapter(source, roles)

    # 4. How to run it, and how much at a time
    reporter.stage("preparing")
    checkpoint = newest_sealed(folder.checkpoints)
    route = _route(base, prompts, settings)
    sizing = size_batches(spec, settings, base, device, checkpoint)
    if not route.end_to_end:
        sizing.micro_batch.rows = 1
    arguments = training_arguments(
        settings,
        folder,
        device,
        sizing,
        sequences=-(-len(prompts.training) // options.num_mini_batches),  # a step takes that many batches
        held_out=len(prompts.held_out),
    )
    if sizing.gradient_checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    actor = Actor(
        roles,
        route,
        micro_batch=sizing.micro_batch,
        sampling=size_sampling(spec, settings, base, device),
        autocast=_autocast(device, arguments),
        warn=reporter.warning,
    )
    reporter.log(f"{device}: {route}, {sizing}; responses: {actor.sampling}")

    # 5. The scorer
    reward = _load_reward(source, actor, settings) if isinstance(source, RewardSource) else source
    stops = stop_tokens(tokenizer, getattr(base, "generation_config", None))
    scorer = RolloutScorer(actor, reward, partial(tokenizer.decode, skip_special_tokens=True), stops, options)

    # 6. The updates
    reporter.stage("training")
    loop = PPOLoop(folder, arguments, scorer=scorer, prompts=prompts, sizing=sizing, reporter=reporter)
    loop.run(checkpoint, stop)
    return TrainedModel(roles.model, tokenizer)


def _route(base: Any, prompts: Prompts, settings: Settings) -> Route:
    """How the base is run over rows, tried on two of them."""
    rows = [Example(prompt.input_ids, prompt.input_ids) for prompt in prompts.training[:2]]
    return find_route(base, rows, settings.model.attention)


def _load_reward(source: RewardSource, actor: Actor, settings: Settings) -> Reward:
    """A reward model: a role on the policy's base where it was trained on that, else a model beside it."""
    if source.shares_base(settings.model):
        return load_reward_adapter(source, actor)
    return load_reward_model(source, settings.model, actor.device)


def _autocast(device: torch.device, arguments: TrainingArguments) -> Callable[[], AbstractContextManager[Any]]:
    """Mixed precision, where Trainer would use it for the same arguments."""
    if arguments.fp16 or arguments.bf16:
        return partial(torch.autocast, device.type, torch.float16 if arguments.fp16 else torch.bfloat16)
    return nullcontext
