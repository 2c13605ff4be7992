"""GRPO, from the plan to the trained model: the stages in their order. Sampling and loss are TRL's."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from ftsdk.job_folder import JobFolder
from ftsdk.job_types import Reason
from ftsdk.modeling.loading import choose_attention, load_base, load_tokenizer, without_dropout
from ftsdk.modeling.memory import is_out_of_memory
from ftsdk.modeling.stop_tokens import stop_tokens
from ftsdk.spec import JobSpec
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.outcome import WorkerError
from ftsdk_local.settings import Settings
from ftsdk_local.train.common.adapter import prepare_adapter
from ftsdk_local.train.common.arguments import known_arguments
from ftsdk_local.train.common.batch_sizing import Fit, fit
from ftsdk_local.train.common.callbacks import StopRequest
from ftsdk_local.train.common.reference import drop_reference, refuse_adapted_head, settle_reference
from ftsdk_local.train.common.sequences import template_of
from ftsdk_local.train.common.stages import (
    Trained,
    add_callbacks,
    check_vocabulary,
    facts_of,
    newest_checkpoint,
    prepare_machine,
    run_trainer,
)
from ftsdk_local.train.common.trl import guest_of, tokenizer_for_trl, weights_kept
from ftsdk_local.train.grpo.trainer import GroupSteps, Scores
from ftsdk_local.train.rl.prompts import read_prompts
from ftsdk_local.train.rl.reward_model import find_reward_model, reward_of_its_own
from ftsdk_local.train.rl.rewards import function_reward
from ftsdk_local.train.rl.samples import drop_samples_after, keep_samples

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
"""What TRL would else decide for us: the loss and its scaling are those of the paper (arXiv 2402.03300)."""


def train(folder: JobFolder, spec: JobSpec, settings: Settings, reporter: EventWriter, stop: StopRequest) -> Trained:
    """Run GRPO; go on from the newest sealed checkpoint where there is one.

    Raises:
        Stopped: It was asked to stop; a checkpoint is sealed.
        Failure: It cannot fit, it diverged, or the reward cannot be used.
        DataError: Prompts cannot be used.
        SpecError: The model cannot be trained so.
    """
    assert settings.reward is not None
    group = settings.options["num_generations"]

    # 1. The machine
    device = prepare_machine(settings)

    # 2. The prompts, and what scores the responses
    reporter.stage("reading data")
    tokenizer = load_tokenizer(settings.model, template_of(settings.data.dataset))
    longest = settings.options["max_completion_length"]
    training, held_out = read_prompts(settings, tokenizer, folder, reporter, max_new_tokens=longest)
    name = settings.reward.model
    source = None if name is None else find_reward_model(name, settings.reward.revision, tokenizer)
    function = function_reward(settings.reward, reporter) if source is None else None

    # 3. The model, and what it is rewarded by
    reporter.stage("loading model")
    base = _loaded(settings, tokenizer, device)
    model = prepare_adapter(base, settings)
    refuse_adapted_head(model)
    reward = function or (source and reward_of_its_own(source, settings.model, device))
    assert reward is not None

    # 4. How much at a time
    reporter.stage("preparing")
    sealed = newest_checkpoint(folder)
    fitting = fit(spec, settings, base, device, sealed.facts if sealed else None)
    responses = settings.arguments["per_device_train_batch_size"]
    rows = rows_at_a_time(fitting, responses, settings.data.max_length)
    reporter.log(f"{device}: {rows} of {responses} responses at a time; {fitting}")

    # 5. The trainer
    scores = Scores(training + held_out, reward, partial(tokenizer.decode, skip_special_tokens=True))
    order = order_of_prompts(settings, len(training))
    held = range(len(training), len(scores.prompts))
    steps = {"max_steps": len(order) * group // responses, **_cut(rows, responses, group)}
    known = known_arguments(
        settings, folder, device, fitting, sequences=len(training) * group, held_out=len(held_out) * group
    )
    with guest_of(reporter):
        arguments = known | settings.options | steps | ARGUMENTS | _loading(settings)
        trainer = _trainer(model, tokenizer, scores, arguments, numbers=(order, held))
        settle_reference(model, settings)
        began = time.perf_counter()
        add_callbacks(
            trainer,
            settings,
            reporter,
            stop,
            pace=lambda: (int(trainer.state.num_input_tokens_seen), time.perf_counter() - began),
            facts=lambda: facts_of(fitting),
        )
        trainer.add_callback(KeepSamples(folder, reporter, scores, evaluates=bool(held_out)))

        # 6. Training, and a last look at the held-out prompts
        if sealed:
            drop_samples_after(folder.samples, int(sealed.folder.name.rpartition("-")[2]))
        with _told_where_memory_ends(rows):
            run_trainer(trainer, sealed, reporter, stop)
    drop_reference(model)
    return Trained(model, tokenizer)


def _loaded(settings: Settings, tokenizer: Any, device: torch.device) -> Any:
    """The base; dropout stays in the adapter alone, as a reference with dropout would be none."""
    base = load_base(settings.model, device, trains=settings.lora is None)
    check_vocabulary(base, tokenizer)
    choose_attention(base, settings.model.attention)
    without_dropout(base)
    base.generation_config.eos_token_id = sorted(stop_tokens(tokenizer, base.generation_config))
    return base


def rows_at_a_time(fitting: Fit, responses: int, max_length: int) -> int:
    """Responses that a forward pass takes: the most that fit, and that a step is a multiple of."""
    fits = fitting.micro_batch.rows or max(fitting.micro_batch.tokens // max_length, 1)
    return max(count for count in range(1, min(fits, responses) + 1) if responses % count == 0)


def order_of_prompts(settings: Settings, prompts: int) -> list[int]:
    """The numbers of the prompts of a whole run: all of them shuffled, again and again.

    TRL would shuffle each epoch as it comes, and a resumed run would begin with the order of the first one.
    """
    arguments = settings.arguments
    in_step = arguments["per_device_train_batch_size"] // settings.options["num_generations"]
    epochs = math.ceil(arguments["num_train_epochs"] * prompts / in_step)
    wanted = in_step * (arguments["max_steps"] if arguments["max_steps"] > 0 else epochs)
    chance = np.random.default_rng(arguments["seed"])
    rounds = [chance.permutation(prompts) for _ in range(-(-wanted // prompts))]
    return [int(number) for number in np.concatenate(rounds)[:wanted]]


def _cut(rows: int, responses: int, group: int) -> dict[str, int]:
    """A step in equal parts; its responses are sampled together."""
    return {
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": responses // rows,
        "steps_per_generation": responses // rows,
        "per_device_eval_batch_size": group,
        "num_generations_eval": group,
    }


def _loading(settings: Settings) -> dict[str, Any]:
    """How TRL loads the reference where every weight trains: just as the policy's own base."""
    revision = settings.model.revision
    pinned = settings.lora is None and settings.options["beta"] > 0 and revision is not None
    return {
        "trust_remote_code": settings.model.trust_remote_code,
        "model_init_kwargs": {"revision": revision} if pinned else None,
    }


@contextmanager
def _told_where_memory_ends(rows: int) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        what = str(error).partition("\n")[0] or type(error).__name__
        smaller = f"set compute.per_device_train_batch_size={rows // 2}" if rows > 1 else "lower training.max_length"
        raise WorkerError(
            Reason.OOM,
            f"{rows} responses at a time, or all of a step while they are sampled, do not fit ({what})",
            hint=f"{smaller}, lower training.global_batch_size, or set compute.gradient_checkpointing=true",
        ) from error


def _trainer(
    model: Any,
    tokenizer: Any,
    scores: Scores,
    arguments: dict[str, Any],
    *,
    numbers: tuple[Sequence[int], Sequence[int]],
) -> Any:
    """Our rows and scores before TRL's trainer; to TRL a prompt is the number of its row."""
    from datasets import Dataset  # noqa: PLC0415 - heavy
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415 - heavy

    training, held_out = (
        Dataset.from_dict({"prompt": [str(number) for number in part]}) if part else None for part in numbers
    )
    ours = type("GRPOTrainer", (GroupSteps, GRPOTrainer), {})
    with weights_kept(model):
        trainer = ours(
            model=model,
            args=GRPOConfig(**arguments),
            reward_funcs=scores,
            processing_class=tokenizer_for_trl(tokenizer),
            train_dataset=training,
            eval_dataset=held_out,
        )
    trainer.prompts = scores.prompts
    return trainer


class KeepSamples(TrainerCallback):
    """Keeps some responses of each evaluation; without held-out prompts, of the step before each checkpoint."""

    def __init__(self, folder: JobFolder, reporter: EventWriter, scores: Scores, *, evaluates: bool) -> None:
        self.folder, self.reporter, self.scores, self.evaluates = folder, reporter, scores, evaluates

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Keep what the evaluation saw first."""
        self._keep(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Keep what the last step learned from."""
        if not self.evaluates:
            self._keep(state.global_step)

    def _keep(self, step: int) -> None:
        keep_samples(self.folder.samples, self.reporter, step, self.scores.responses, self.scores.rewards)
