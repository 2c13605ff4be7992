"""GRPO, from the plan to the trained model: the stages in their order. Sampling and loss are TRL's."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from transformers import TrainerCallback

from ftsdk.job_folder import JobFolder
from ftsdk.job_types import Reason
from ftsdk.modeling.memory import is_out_of_memory
from ftsdk.modeling.stop_tokens import stop_tokens
from ftsdk.spec import JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import prepare_adapter
from ftsdk_local.train.common.arguments import complete_arguments
from ftsdk_local.train.common.batch_sizing import BatchSizing, size_batches
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.checkpoint import newest_sealed
from ftsdk_local.train.common.reference import configure_reference, drop_reference, refuse_adapted_head
from ftsdk_local.train.common.stages import (
    TrainedModel,
    add_callbacks,
    checkpoint_facts,
    prepare_machine,
    prepare_tokenizer,
    run_trainer,
)
from ftsdk_local.train.common.trl import load_trl_base, preserve_weights, quiet_trl, tokenizer_for_trl
from ftsdk_local.train.grpo.trainer import NumberedPrompts, TrlReward
from ftsdk_local.train.rl.prompts import read_prompts
from ftsdk_local.train.rl.reward_model import RewardSource, find_reward, load_reward_model
from ftsdk_local.train.rl.samples import append_samples, drop_samples_after

ARGUMENTS = {
    "loss_type": "grpo",
    "scale_rewards": "group",
    "importance_sampling_level": "token",
    "num_iterations": 1,
    "epsilon_high": None,
    "delta": None,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "mask_truncated_completions": False,
    "off_policy_mask_threshold": None,
    "use_bias_correction_kl": False,
    "sync_ref_model": False,
    "shuffle_dataset": False,
    "disable_dropout": False,
    "log_completions": False,
    "use_vllm": False,
}
"""Set, because TRL's own defaults differ: the loss and its scaling are those of the paper (arXiv 2402.03300)."""


def train(
    folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest
) -> TrainedModel:
    """Run GRPO; continue from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: A stop was requested; a checkpoint is sealed.
        WorkerError: It cannot fit, it diverged, or the reward cannot be used.
        DataError: Prompts cannot be used.
        SpecError: The model cannot be trained with these settings.
    """
    group = settings.options["num_generations"]

    # 1. The machine
    device = prepare_machine(settings)

    # 2. The prompts, and what scores the responses
    reporter.stage("reading data")
    tokenizer = prepare_tokenizer(settings)
    longest = settings.options["max_completion_length"]
    training, held_out = read_prompts(settings, tokenizer, folder, reporter, max_new_tokens=longest)
    source = find_reward(settings, tokenizer, reporter)

    # 3. The model, and the reward
    reporter.stage("loading model")
    base = load_trl_base(settings, tokenizer, device)
    base.generation_config.eos_token_id = sorted(stop_tokens(tokenizer, base.generation_config))
    model = prepare_adapter(base, settings)
    refuse_adapted_head(model)
    reward = load_reward_model(source, settings.model, device) if isinstance(source, RewardSource) else source

    # 4. How much at a time
    reporter.stage("preparing")
    checkpoint = newest_sealed(folder.checkpoints)
    sizing = size_batches(spec, settings, base, device, checkpoint)
    responses = settings.arguments["per_device_train_batch_size"]
    rows = rows_at_a_time(sizing, responses, settings.data.max_length)
    reporter.log(f"{device}: {rows} of {responses} responses at a time; {sizing}")

    # 5. The trainer
    trl_reward = TrlReward(training + held_out, reward, partial(tokenizer.decode, skip_special_tokens=True))
    order = prompt_order(settings, len(training))
    held_out_numbers = range(len(training), len(trl_reward.prompts))
    steps = {"max_steps": len(order) * group // responses, **_batch_arguments(rows, responses, group)}
    arguments = complete_arguments(
        settings, folder, device, sizing, sequences=len(training) * group, held_out=len(held_out) * group
    )
    with quiet_trl(reporter):
        arguments |= settings.options | steps | ARGUMENTS | _reference_arguments(settings)
        trainer = _make_trainer(model, tokenizer, trl_reward, arguments, numbers=(order, held_out_numbers))
        configure_reference(model, settings)
        began = time.perf_counter()
        add_callbacks(
            trainer,
            settings,
            reporter,
            stop,
            throughput=lambda: (int(trainer.state.num_input_tokens_seen), time.perf_counter() - began),
            facts=lambda: checkpoint_facts(sizing),
        )
        trainer.add_callback(SampleCallback(folder, reporter, trl_reward, evaluates=bool(held_out)))

        # 6. Training, and a final evaluation of the held-out prompts
        if checkpoint:
            drop_samples_after(folder.samples, checkpoint.step)
        with _explain_out_of_memory(rows):
            run_trainer(trainer, checkpoint, reporter, stop)
    drop_reference(model)
    return TrainedModel(model, tokenizer)


def rows_at_a_time(sizing: BatchSizing, responses: int, max_length: int) -> int:
    """Responses in a forward pass: the most that fit and that divide the step."""
    fits = sizing.micro_batch.rows or max(sizing.micro_batch.tokens // max_length, 1)
    return max(count for count in range(1, min(fits, responses) + 1) if responses % count == 0)


def prompt_order(settings: Settings, prompts: int) -> list[int]:
    """The numbers of the prompts of a whole run: all of them shuffled, again and again."""
    # TRL's sampler shuffles anew at the start of each epoch, from a generator that a checkpoint does not have: a run
    # resumed in its second epoch would repeat the order of the first one. So the dataset is the whole run, in order.
    arguments = settings.arguments
    in_step = arguments["per_device_train_batch_size"] // settings.options["num_generations"]
    epochs = math.ceil(arguments["num_train_epochs"] * prompts / in_step)
    count = in_step * (arguments["max_steps"] if arguments["max_steps"] > 0 else epochs)
    rng = np.random.default_rng(arguments["seed"])
    rounds = [rng.permutation(prompts) for _ in range(-(-count // prompts))]
    return [int(number) for number in np.concatenate(rounds)[:count]]


def _batch_arguments(rows: int, responses: int, group: int) -> dict[str, int]:
    """A step in equal parts."""
    # steps_per_generation equals the accumulation steps: all responses of a step are sampled at once, by the policy
    # that the step starts from, so that the ratio is 1 (on-policy), and rewards are scaled over complete groups.
    return {
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": responses // rows,
        "steps_per_generation": responses // rows,
        "per_device_eval_batch_size": group,
        "num_generations_eval": group,
    }


def _reference_arguments(settings: Settings) -> dict[str, Any]:
    """How TRL loads the reference where every weight trains: at the revision of the policy's base."""
    revision = settings.model.revision
    pinned = settings.lora is None and settings.options["beta"] > 0 and revision is not None
    return {
        "trust_remote_code": settings.model.trust_remote_code,
        "model_init_kwargs": {"revision": revision} if pinned else None,
    }


@contextmanager
def _explain_out_of_memory(rows: int) -> Iterator[None]:
    """Name the setting to lower; TRL owns the step, so it is not tried again with less."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = str(error).partition("\n")[0] or type(error).__name__
        smaller = f"set compute.per_device_train_batch_size={rows // 2}" if rows > 1 else "lower training.max_length"
        raise WorkerError(
            Reason.OOM,
            f"{rows} responses at a time, or all of a step while they are sampled, do not fit ({message})",
            hint=f"{smaller}, lower training.global_batch_size, or set compute.gradient_checkpointing=true",
        ) from error


def _make_trainer(
    model: Any,
    tokenizer: Any,
    trl_reward: TrlReward,
    arguments: dict[str, Any],
    *,
    numbers: tuple[Sequence[int], Sequence[int]],
) -> Any:
    """TRL's trainer with the engine's prompts and rewards; to TRL a prompt is the number of its row."""
    from datasets import Dataset  # noqa: PLC0415 - heavy
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415 - heavy

    training, held_out = (
        Dataset.from_dict({"prompt": [str(number) for number in part]}) if part else None for part in numbers
    )
    trainer_class = type("GRPOTrainer", (NumberedPrompts, GRPOTrainer), {})
    with preserve_weights(model):
        trainer = trainer_class(
            model=model,
            args=GRPOConfig(**arguments),
            reward_funcs=trl_reward,
            processing_class=tokenizer_for_trl(tokenizer),
            train_dataset=training,
            eval_dataset=held_out,
        )
    trainer.prompts = trl_reward.prompts
    return trainer


class SampleCallback(TrainerCallback):
    """Keeps some responses of each evaluation; without held-out prompts, of the step before each checkpoint."""

    def __init__(self, folder: JobFolder, reporter: EventWriter, trl_reward: TrlReward, *, evaluates: bool) -> None:
        self.folder, self.reporter, self.trl_reward, self.evaluates = folder, reporter, trl_reward, evaluates

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Keep the first responses of the evaluation."""
        self._keep(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Keep responses of the last step."""
        if not self.evaluates:
            self._keep(state.global_step)

    def _keep(self, step: int) -> None:
        append_samples(self.folder.samples, self.reporter, step, self.trl_reward.responses, self.trl_reward.rewards)
