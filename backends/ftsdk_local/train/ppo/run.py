"""PPO's updates one after the other: schedule, metrics, evaluations, samples and checkpoints around them."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.integrations import get_reporting_integration_callbacks
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback, TrainerControl, TrainerState

from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import Stopped, WorkerError
from ftsdk_local.train.common.batch_sizing import Fit
from ftsdk_local.train.common.callbacks import Narrate, SealCheckpoints, StopRequest, StopWhenAsked
from ftsdk_local.train.common.stages import Sealed, facts_of, warn_of_changes
from ftsdk_local.train.ppo import checkpoint as ppo_checkpoint
from ftsdk_local.train.ppo.math import steered
from ftsdk_local.train.ppo.roles import POLICY, VALUE
from ftsdk_local.train.ppo.update import Judge, Learner, Lesson, Metrics
from ftsdk_local.train.rl.prompts import Prompt, Prompts
from ftsdk_local.train.rl.samples import drop_samples_after, keep_samples

_SHUFFLE, _SAMPLE, _LEARN, _EVALUATE = range(4)  # what chance is for: each has a stream of its own
_EVALUATED = ("reward", "score", "kl", "entropy", "length", "ended")


class Run:
    """One run of PPO; a step is one update, with all its epochs and minibatches.

    Args:
        folder: The job's.
        arguments: Trainer's arguments.
        judge: Samples responses and says what they are worth.
        prompts: To answer.
        fitting: How much is computed at a time.
        reporter: Writes the events.
    """

    def __init__(
        self,
        folder: JobFolder,
        arguments: TrainingArguments,
        *,
        judge: Judge,
        prompts: Prompts,
        fitting: Fit,
        reporter: EventWriter,
    ) -> None:
        self.folder, self.arguments, self.judge, self.prompts = folder, arguments, judge, prompts
        self.fitting, self.reporter = fitting, reporter
        self.batch = arguments.per_device_train_batch_size * judge.options.num_mini_batches
        total = _updates(arguments, len(prompts.training), self.batch)
        optimizer = _optimizer(arguments, judge)
        warmup = arguments.get_warmup_steps(total)
        schedule = get_scheduler(arguments.lr_scheduler_type, optimizer, warmup, total)
        scaler = torch.amp.GradScaler(judge.actor.device.type, enabled=arguments.fp16)
        self.learner = Learner(judge.actor, optimizer, scaler, arguments.max_grad_norm, judge.options)
        self.stateful = {"optimizer": optimizer, "schedule": schedule, "scaler": scaler}
        self.kl_coef = judge.options.kl_coef
        self.state = TrainerState(max_steps=total, num_train_epochs=math.ceil(arguments.num_train_epochs))
        self.state.compute_steps(arguments, total)
        self.control = TrainerControl()
        self.tokens, self.seconds = 0, 0.0

    def go(self, sealed: Sealed | None, stop: StopRequest) -> None:
        """All updates, from the checkpoint where there is one.

        Raises:
            Stopped: It was asked to stop; a checkpoint is sealed.
            Failure: The reward cannot be used; the updates before are in a sealed checkpoint.
        """
        told = self._callbacks(stop)
        if sealed is not None:
            self._restore(sealed)
        self.control = told.on_train_begin(self.arguments, self.state, self.control)
        if self.state.global_step == 0 and self.prompts.held_out:
            self._evaluate(told)
        while self.state.global_step < self.state.max_steps:
            self.control = told.on_step_begin(self.arguments, self.state, self.control)
            metrics = self._update(told)
            self.state.global_step += 1
            self.state.epoch = self.state.global_step * self.batch / len(self.prompts.training)
            self.control = told.on_step_end(self.arguments, self.state, self.control)
            if self.control.should_log:
                self.control = told.on_log(self.arguments, self.state, self.control, metrics)
            if self.control.should_evaluate:
                self._evaluate(told)
            if self.control.should_save:
                self._save(told)
            if self.control.should_training_stop:
                break
        self.control = told.on_train_end(self.arguments, self.state, self.control)
        if self.state.global_step < self.state.max_steps:
            raise Stopped(stop.reason or "cancel")

    def _update(self, told: CallbackHandler) -> Metrics:
        began, step = time.perf_counter(), self.state.global_step
        with self._saved_in_trouble(told):
            # 1. The policy answers a batch of prompts
            responses = self.judge.respond(self._prompts_of(step), self._chance(_SAMPLE, step))

            # 2. What was each answer worth, and what each of its tokens?
            lesson, seen = self.judge.judge(responses, self.kl_coef)

        # 3. Policy and value learn from it
        learned = self.learner.learn(lesson, self._chance(_LEARN, step))

        # 4. The learning rate and the KL coefficient go on
        rate = self.stateful["schedule"].get_last_lr()[0]
        self.stateful["schedule"].step()
        self.kl_coef = steered(self.kl_coef, seen["kl"], self.judge.options.target_kl)
        self.tokens += sum(len(row.input_ids) for row in lesson.rollouts.rows)
        self.seconds += time.perf_counter() - began
        if not self.prompts.held_out and (step + 1) % self.state.save_steps == 0:
            self._keep_samples(lesson, step + 1)
        return {**learned, **seen, "learning_rate": rate}

    def _prompts_of(self, step: int) -> list[Prompt]:
        """The prompts of one update: all prompts shuffled, again and again, cut into batches."""
        count = len(self.prompts.training)
        places = range(step * self.batch, (step + 1) * self.batch)
        orders = {epoch: self._chance(_SHUFFLE, epoch).permutation(count) for epoch in {at // count for at in places}}
        return [self.prompts.training[orders[at // count][at % count]] for at in places]

    def _chance(self, purpose: int, number: int) -> np.random.Generator:
        """Chance that follows from the seed alone, so that a resumed run has the same."""
        return np.random.default_rng((self.arguments.seed, purpose, number))

    def _evaluate(self, told: CallbackHandler) -> None:
        """Answer the held-out prompts with the same chance each time, and keep some of the answers."""
        held_out, chance = self.prompts.held_out, self._chance(_EVALUATE, 0)
        found: list[tuple[Lesson, Metrics]] = []
        with self._saved_in_trouble(told):
            for start in range(0, len(held_out), self.batch):
                responses = self.judge.respond(held_out[start : start + self.batch], chance)
                found.append(self.judge.judge(responses, self.kl_coef))
        self._keep_samples(found[0][0], self.state.global_step)
        counts = [len(lesson.rollouts.rows) for lesson, _ in found]
        metrics = {
            f"eval_{name}": float(np.average([seen[name] for _, seen in found], weights=counts)) for name in _EVALUATED
        }
        self.control = told.on_log(self.arguments, self.state, self.control, metrics)
        self.control = told.on_evaluate(self.arguments, self.state, self.control, metrics)

    @contextmanager
    def _saved_in_trouble(self, told: CallbackHandler) -> Iterator[None]:
        """Around what only looks: where it fails, a checkpoint holds all updates so far."""
        try:
            yield
        except WorkerError:
            self._save(told)
            raise

    def _keep_samples(self, lesson: Lesson, step: int) -> None:
        rewards = lesson.rewards_B.tolist()
        keep_samples(self.folder.samples, self.reporter, step, lesson.rollouts.responses, rewards)

    def _callbacks(self, stop: StopRequest) -> CallbackHandler:
        trackers = [tracker() for tracker in get_reporting_integration_callbacks(self.arguments.report_to)]
        mine = [
            DefaultFlowCallback(),
            *trackers,
            Narrate(self.reporter, lambda: (self.tokens, self.seconds)),
            StopWhenAsked(stop),
            SealCheckpoints(self.reporter, lambda: {**facts_of(self.fitting), "kl_coef": self.kl_coef}),
        ]
        model = self.judge.actor.roles.model
        return CallbackHandler(mine, model, None, self.stateful["optimizer"], self.stateful["schedule"])

    def _save(self, told: CallbackHandler) -> None:
        ppo_checkpoint.save(
            Path(self.arguments.output_dir) / f"checkpoint-{self.state.global_step}",
            self.judge.actor.roles,
            self.stateful,
            self.state,
            keep=self.arguments.save_total_limit,
        )
        self.control = told.on_save(self.arguments, self.state, self.control)

    def _restore(self, sealed: Sealed) -> None:
        self.reporter.log(f"going on from {sealed.folder.name}")
        warn_of_changes(sealed.facts, self.reporter)
        self.state = ppo_checkpoint.restore(sealed.folder, self.judge.actor.roles, self.stateful)
        self.kl_coef = sealed.facts["kl_coef"]
        drop_samples_after(self.folder.samples, self.state.global_step)


def _updates(arguments: TrainingArguments, prompts: int, batch: int) -> int:
    if arguments.max_steps > 0:
        return arguments.max_steps
    return math.ceil(arguments.num_train_epochs * math.ceil(prompts / batch))


def _optimizer(arguments: TrainingArguments, judge: Judge) -> torch.optim.Optimizer:
    """Transformers' optimizer of that name, over the weights of policy and value."""
    roles = judge.actor.roles
    weights = [weight for role in (POLICY, VALUE) for weight in roles.weights(role).values()]
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments, roles.model)
    optimizer: torch.optim.Optimizer = kind([{"params": weights, "weight_decay": arguments.weight_decay}], **options)
    return optimizer
