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
from ftsdk_local.train.common.batch_sizing import BatchSizing
from ftsdk_local.train.common.callbacks import EventCallback, SealCallback, StopCallback, StopRequest
from ftsdk_local.train.common.checkpoint import SealedCheckpoint
from ftsdk_local.train.common.stages import checkpoint_facts, warn_of_changes
from ftsdk_local.train.ppo import checkpoint as ppo_checkpoint
from ftsdk_local.train.ppo.math import next_kl_coef
from ftsdk_local.train.ppo.roles import POLICY, VALUE
from ftsdk_local.train.ppo.update import Metrics, PolicyUpdater, RolloutBatch, RolloutScorer
from ftsdk_local.train.rl.prompts import Prompt, Prompts
from ftsdk_local.train.rl.samples import append_samples, drop_samples_after

# Purposes of random numbers, each with a stream of its own. They are part of the seed: never reorder them.
_SHUFFLE, _SAMPLE, _UPDATE, _EVALUATE = range(4)
_EVAL_METRICS = ("reward", "score", "kl", "entropy", "length", "ended")


class PPOLoop:
    """The loop of PPO; a step is one update, with all its epochs and minibatches.

    Args:
        folder: The job's.
        arguments: Trainer's arguments.
        scorer: Samples responses and scores them.
        prompts: To train on, and held out.
        sizing: How much is computed at a time.
        reporter: Writes the events.
    """

    def __init__(
        self,
        folder: JobFolder,
        arguments: TrainingArguments,
        *,
        scorer: RolloutScorer,
        prompts: Prompts,
        sizing: BatchSizing,
        reporter: EventWriter,
    ) -> None:
        self.folder, self.arguments, self.scorer, self.prompts = folder, arguments, scorer, prompts
        self.sizing, self.reporter = sizing, reporter
        self.batch_size = arguments.per_device_train_batch_size * scorer.options.num_mini_batches
        total = _updates(arguments, len(prompts.training), self.batch_size)
        optimizer = _optimizer(arguments, scorer)
        warmup = arguments.get_warmup_steps(total)
        schedule = get_scheduler(arguments.lr_scheduler_type, optimizer, warmup, total)
        scaler = torch.amp.GradScaler(scorer.actor.device.type, enabled=arguments.fp16)
        self.updater = PolicyUpdater(scorer.actor, optimizer, scaler, arguments.max_grad_norm, scorer.options)
        self.stateful = {"optimizer": optimizer, "schedule": schedule, "scaler": scaler}
        self.kl_coef = scorer.options.kl_coef
        self.state = TrainerState(max_steps=total, num_train_epochs=math.ceil(arguments.num_train_epochs))
        self.state.compute_steps(arguments, total)
        self.control = TrainerControl()
        self.tokens, self.seconds = 0, 0.0

    def run(self, checkpoint: SealedCheckpoint | None, stop: StopRequest) -> None:
        """All updates, from the checkpoint where there is one.

        Raises:
            Stopped: A stop was requested; a checkpoint is sealed.
            WorkerError: The reward cannot be used; the updates before are in a sealed checkpoint.
        """
        # The calls, and their order, are those of Trainer's own loop, so that callbacks written for it work unchanged,
        # such as trackers and DefaultFlowCallback, which decides when to log, evaluate and save.
        callbacks = self._callbacks(stop)
        if checkpoint is not None:
            self._restore(checkpoint)
        self.control = callbacks.on_train_begin(self.arguments, self.state, self.control)
        if self.state.global_step == 0 and self.prompts.held_out:
            self._evaluate(callbacks)
        while self.state.global_step < self.state.max_steps:
            self.control = callbacks.on_step_begin(self.arguments, self.state, self.control)
            metrics = self._update(callbacks)
            self.state.global_step += 1
            self.state.epoch = self.state.global_step * self.batch_size / len(self.prompts.training)
            self.control = callbacks.on_step_end(self.arguments, self.state, self.control)
            if self.control.should_log:
                self.control = callbacks.on_log(self.arguments, self.state, self.control, metrics)
            if self.control.should_evaluate:
                self._evaluate(callbacks)
            if self.control.should_save:
                self._save(callbacks)
            if self.control.should_training_stop:
                break
        self.control = callbacks.on_train_end(self.arguments, self.state, self.control)
        if self.state.global_step < self.state.max_steps:
            raise Stopped(stop.reason or "cancel")

    def _update(self, callbacks: CallbackHandler) -> Metrics:
        began, step = time.perf_counter(), self.state.global_step
        with self._save_on_error(callbacks):
            # 1. The policy responds to a batch of prompts
            responses = self.scorer.sample_responses(self._prompts_of(step), self._rng(_SAMPLE, step))

            # 2. Scores of the responses, advantages of their tokens
            batch, score_metrics = self.scorer.score(responses, self.kl_coef)

        # 3. Epochs and minibatches over the batch
        update_metrics = self.updater.update(batch, self._rng(_UPDATE, step))

        # 4. The next learning rate and KL coefficient
        rate = self.stateful["schedule"].get_last_lr()[0]
        self.stateful["schedule"].step()
        self.kl_coef = next_kl_coef(self.kl_coef, score_metrics["kl"], self.scorer.options.target_kl)
        self.tokens += sum(len(row.input_ids) for row in batch.rollouts.rows)
        self.seconds += time.perf_counter() - began
        if not self.prompts.held_out and (step + 1) % self.state.save_steps == 0:
            self._append_samples(batch, step + 1)
        return {**update_metrics, **score_metrics, "learning_rate": rate}

    def _prompts_of(self, step: int) -> list[Prompt]:
        """The prompts of one update: all prompts shuffled, again and again, split into batches."""
        # A batch may end one pass over the prompts and begin the next. Each pass has its order from the seed and its
        # number, so that a resumed run needs no state to continue in the middle of a pass.
        count = len(self.prompts.training)
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        orders = {epoch: self._rng(_SHUFFLE, epoch).permutation(count) for epoch in {at // count for at in places}}
        return [self.prompts.training[orders[at // count][at % count]] for at in places]

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        """Random numbers that follow from the seed alone, so that a resumed run has the same ones."""
        return np.random.default_rng((self.arguments.seed, purpose, number))

    def _evaluate(self, callbacks: CallbackHandler) -> None:
        """Respond to the held-out prompts, with the same random numbers each time, and keep some of the responses."""
        held_out, rng = self.prompts.held_out, self._rng(_EVALUATE, 0)
        scored: list[tuple[RolloutBatch, Metrics]] = []
        with self._save_on_error(callbacks):
            for start in range(0, len(held_out), self.batch_size):
                responses = self.scorer.sample_responses(held_out[start : start + self.batch_size], rng)
                scored.append(self.scorer.score(responses, self.kl_coef))
        self._append_samples(scored[0][0], self.state.global_step)
        counts = [len(batch.rollouts.rows) for batch, _ in scored]
        metrics = {
            f"eval_{name}": float(np.average([means[name] for _, means in scored], weights=counts))
            for name in _EVAL_METRICS
        }
        self.control = callbacks.on_log(self.arguments, self.state, self.control, metrics)
        self.control = callbacks.on_evaluate(self.arguments, self.state, self.control, metrics)

    @contextmanager
    def _save_on_error(self, callbacks: CallbackHandler) -> Iterator[None]:
        """Around sampling and scoring, which change no weight: on an error, save all updates so far.

        A reward function of the user's may fail after hours; once it is fixed, the job is resumed.
        """
        try:
            yield
        except WorkerError:
            self._save(callbacks)
            raise

    def _append_samples(self, batch: RolloutBatch, step: int) -> None:
        rewards = batch.rewards_B.tolist()
        append_samples(self.folder.samples, self.reporter, step, batch.rollouts.responses, rewards)

    def _callbacks(self, stop: StopRequest) -> CallbackHandler:
        trackers = [tracker() for tracker in get_reporting_integration_callbacks(self.arguments.report_to)]
        callbacks = [
            DefaultFlowCallback(),
            *trackers,
            EventCallback(self.reporter, lambda: (self.tokens, self.seconds)),
            StopCallback(stop),
            SealCallback(self.reporter, lambda: {**checkpoint_facts(self.sizing), "kl_coef": self.kl_coef}),
        ]
        model = self.scorer.actor.roles.model
        return CallbackHandler(callbacks, model, None, self.stateful["optimizer"], self.stateful["schedule"])

    def _save(self, callbacks: CallbackHandler) -> None:
        ppo_checkpoint.save(
            Path(self.arguments.output_dir) / f"checkpoint-{self.state.global_step}",
            self.scorer.actor.roles,
            self.stateful,
            self.state,
            keep=self.arguments.save_total_limit,
        )
        self.control = callbacks.on_save(self.arguments, self.state, self.control)

    def _restore(self, checkpoint: SealedCheckpoint) -> None:
        self.reporter.log(f"resuming from {checkpoint.folder.name}")
        warn_of_changes(checkpoint.facts, self.reporter)
        self.state = ppo_checkpoint.restore(checkpoint.folder, self.scorer.actor.roles, self.stateful)
        self.kl_coef = checkpoint.facts["kl_coef"]
        drop_samples_after(self.folder.samples, self.state.global_step)


def _updates(arguments: TrainingArguments, prompts: int, batch: int) -> int:
    if arguments.max_steps > 0:
        return arguments.max_steps
    return math.ceil(arguments.num_train_epochs * math.ceil(prompts / batch))


def _optimizer(arguments: TrainingArguments, scorer: RolloutScorer) -> torch.optim.Optimizer:
    """Transformers' optimizer of that name, over the weights of policy and value."""
    roles = scorer.actor.roles
    weights = [weight for role in (POLICY, VALUE) for weight in roles.weights(role).values()]
    optimizer_class, options = Trainer.get_optimizer_cls_and_kwargs(arguments, roles.model)
    optimizer: torch.optim.Optimizer = optimizer_class(
        [{"params": weights, "weight_decay": arguments.weight_decay}], **options
    )
    return optimizer
