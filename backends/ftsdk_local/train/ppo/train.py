"""PPO, from the plan to the trained policy: what must be at hand before the first update, in its order."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from transformers import TrainingArguments

from ftsdk.job_folder import JobFolder
from ftsdk.modeling.batches import Example
from ftsdk.modeling.loading import load_base, load_tokenizer
from ftsdk.modeling.objective import Route, find_route
from ftsdk.modeling.stop_tokens import stop_tokens
from ftsdk.spec import PPO, JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.arguments import training_arguments
from ftsdk_local.train.common.batch_sizing import fit, fit_sampling
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.sequences import template_of
from ftsdk_local.train.common.stages import Trained, check_vocabulary, newest_checkpoint, prepare_machine
from ftsdk_local.train.ppo.actor import Actor
from ftsdk_local.train.ppo.reward_adapter import put_on_base, reward_on_base
from ftsdk_local.train.ppo.roles import Roles
from ftsdk_local.train.ppo.run import Run
from ftsdk_local.train.ppo.update import Judge
from ftsdk_local.train.rl.prompts import Prompts, read_prompts
from ftsdk_local.train.rl.reward_model import RewardSource, find_reward_model, reward_of_its_own
from ftsdk_local.train.rl.rewards import Reward, function_reward


def train(folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest) -> Trained:
    """Run PPO; go on from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: It was asked to stop; a checkpoint is sealed.
        Failure: It cannot fit, it diverged, or the reward cannot be used.
        DataError: Prompts cannot be used.
    """
    assert isinstance(spec.method, PPO)
    assert settings.reward is not None
    options = spec.method

    # 1. The machine
    device = prepare_machine(settings)

    # 2. The prompts, and what scores the responses
    reporter.stage("reading data")
    tokenizer = load_tokenizer(settings.model, template_of(settings.data.dataset))
    prompts = read_prompts(settings, tokenizer, folder, reporter, max_new_tokens=options.max_new_tokens)
    name = settings.reward.model
    source = None if name is None else find_reward_model(name, settings.reward.revision, tokenizer)
    function = function_reward(settings.reward, reporter) if source is None else None

    # 3. The model in its roles
    reporter.stage("loading model")
    base = load_base(settings.model, device, trains=False)
    check_vocabulary(base, tokenizer)
    roles = Roles(base, settings)
    if source is not None and source.shares_base(settings.model):
        put_on_base(source, roles)

    # 4. How to run it, and how much at a time
    reporter.stage("preparing")
    sealed = newest_checkpoint(folder)
    route = _route(base, prompts, settings)
    fitting = fit(spec, settings, base, device, sealed.facts if sealed else None)
    if not route.end_to_end:
        fitting.micro_batch.rows = 1
    arguments = training_arguments(
        settings,
        folder,
        device,
        fitting,
        sequences=-(-len(prompts.training) // options.num_mini_batches),  # a step takes so many batches of them
        held_out=len(prompts.held_out),
    )
    if fitting.gradient_checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    actor = Actor(
        roles,
        route,
        micro_batch=fitting.micro_batch,
        sampling=fit_sampling(spec, settings, base, device),
        autocast=_autocast(device, arguments),
        warn=reporter.warning,
    )
    reporter.log(f"{device}: {route}, {fitting}; responses: {actor.sampling}")

    # 5. The judge
    reward = function or (source and _reward_by(source, actor, settings))
    assert reward is not None
    stops = stop_tokens(tokenizer, getattr(base, "generation_config", None))
    judge = Judge(actor, reward, partial(tokenizer.decode, skip_special_tokens=True), stops, options)

    # 6. The updates
    reporter.stage("training")
    run = Run(folder, arguments, judge=judge, prompts=prompts, fitting=fitting, reporter=reporter)
    run.go(sealed, stop)
    return Trained(roles.model, tokenizer)


def _route(base: Any, prompts: Prompts, settings: Settings) -> Route:
    """How rows go through the model, tried on two of them."""
    rows = [Example(prompt.input_ids, prompt.input_ids) for prompt in prompts.training[:2]]
    return find_route(base, rows, settings.model.attention)


def _reward_by(source: RewardSource, actor: Actor, settings: Settings) -> Reward:
    """A reward model: a role of the shared base where it stands on it, else a model beside it."""
    if source.shares_base(settings.model):
        return reward_on_base(source, actor)
    return reward_of_its_own(source, settings.model, actor.device)


def _autocast(device: torch.device, arguments: TrainingArguments) -> Callable[[], AbstractContextManager[Any]]:
    """Mixed precision where Trainer would use it."""
    if arguments.fp16 or arguments.bf16:
        return partial(torch.autocast, device.type, torch.float16 if arguments.fp16 else torch.bfloat16)
    return nullcontext
