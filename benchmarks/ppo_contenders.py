"""Those who do the work of ``ppo.py``: run in a process of its own, prints one JSON line.

python benchmarks/ppo_contenders.py NAME FOLDER SHAPE UPDATES SEED
"""

import importlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import peft
from datasets import Dataset, load_dataset
from meter import Meter
from ppo_task import EPOCHS, KL_COEF, LEARNING_RATE, RANK, SHAPES, VF_COEF, Architecture, mark, marks
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    TrainerCallback,
)

from ftsdk import JobSpec
from ftsdk.artifact.model_files import WEIGHTS
from ftsdk.data import check
from ftsdk.job_folder import JobFolder
from ftsdk.workers.event_writer import EventWriter
from ftsdk.workers.hardware import device
from ftsdk_local import translate
from ftsdk_local.train.run import run

LAST = 10  # updates over which the final reward is the mean
LINEAR = tuple(f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down"))


class Task(NamedTuple):
    """What to do."""

    folder: Path
    """Model and prompts."""
    scratch: str
    """For what the contender writes."""
    shape: Architecture
    updates: int
    seed: int
    """Of all chance."""


class Lexicon(nn.Module):
    """Counts the rewarded words so far, in place of a reward model's hidden states."""

    def __init__(self, rewarded: range) -> None:
        super().__init__()
        self.rewarded = rewarded

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: object) -> SimpleNamespace:
        """The count at each position."""
        hits = (input_ids < self.rewarded.stop) & attention_mask.bool()
        return SimpleNamespace(hidden_states=[hits.cumsum(1)[..., None].float()])


class Share(nn.Module):
    """TRL's reward: the share of rewarded words in each response."""

    base_model_prefix = "model"

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.model, self.length = Lexicon(shape.rewarded), shape.response

    def score(self, hits: Tensor) -> Tensor:
        """From counts to shares."""
        return hits / self.length


class MarkUpdates(TrainerCallback):
    """Takes the reward from what TRL logs in each update."""

    def on_log(self, *_: object, logs: dict[str, float], **__: object) -> None:
        """TRL has ended an update."""
        mark(logs["objective/scores"])


def trl_value(model: Path) -> nn.Module:
    """TRL's value model: LoRA and a head on a copy of the base."""
    value = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
    peft.inject_adapter_in_model(peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(LINEAR)), value)
    value.score.requires_grad_(requires_grad=True)
    return value


def trl_prompts(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The prompts as tokens."""
    rows = load_dataset("json", data_files=str(folder / "prompts.jsonl"), split="train")
    return rows.map(lambda row: {"input_ids": tokenizer(row["prompt"])["input_ids"]}).select_columns("input_ids")


def run_trl(trl: ModuleType, task: Task, rows: int) -> None:
    """TRL: policy and value are trained by LoRA; the reference is the policy without it.

    Args:
        trl: Its PPO, from its own environment.
        task: What to do.
        rows: Responses at a time; gradients of the rest of a batch are accumulated.
    """
    folder, shape = task.folder, task.shape
    tokenizer = AutoTokenizer.from_pretrained(folder / "model", padding_side="left")
    tokenizer.add_special_tokens({"pad_token": "<pad>", "eos_token": "<pad>"})  # no word that the model can draw
    trl.PPOTrainer(
        args=trl.PPOConfig(
            output_dir=task.scratch,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=shape.batch // rows,
            local_rollout_forward_batch_size=rows,
            total_episodes=task.updates * shape.batch,
            num_ppo_epochs=EPOCHS,
            kl_coef=KL_COEF,
            vf_coef=VF_COEF,
            response_length=shape.response,
            temperature=1.0,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            num_sample_generations=0,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            seed=task.seed,
        ),
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(folder / "model"),
        ref_model=None,
        reward_model=Share(shape),
        value_model=trl_value(folder / "model"),
        train_dataset=trl_prompts(folder, tokenizer),
        peft_config=peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=LINEAR, task_type="CAUSAL_LM"),
        callbacks=[MarkUpdates()],
    ).train()


def run_ftsdk(_: ModuleType, task: Task) -> None:
    """The local engine, as its worker runs it."""
    folder, shape = task.folder, task.shape
    spec = JobSpec.model_validate(
        {
            "model": str(folder / "model"),
            "dataset": str(folder / "prompts.jsonl"),
            "method": {
                "type": "ppo",
                "reward": "ppo_task:plus_words",
                "num_ppo_epochs": EPOCHS,
                "kl_coef": KL_COEF,
                "vf_coef": VF_COEF,
                "max_new_tokens": shape.response,
            },
            "adapter": {"r": RANK, "alpha": 2 * RANK},
            "training": {
                "max_steps": task.updates,
                "global_batch_size": shape.batch,
                "max_length": shape.prompt + shape.response,
                "learning_rate": LEARNING_RATE,
                "lr_scheduler_type": "constant",
                "warmup_ratio": 0,
                "seed": task.seed,
                "save_steps": 10 * task.updates,
            },
            "compute": {"quantization": None, "dtype": "float32"},
        }
    )
    plan = translate.plan(spec, device("cpu"))
    plan = plan.model_copy(update={"data": check(spec.dataset, spec.method.type)})
    job = JobFolder(Path(task.scratch))
    run(job, plan, EventWriter(job), SimpleNamespace(requested=False, why=None))


class Contender(NamedTuple):
    """Who does the work."""

    library: str
    run: Callable[[ModuleType, Task], None]


TRL, FTSDK = "trl.experimental.ppo", "ftsdk_local.train.ppo.train"
CONTENDERS = {
    "TRL 1.12, accumulating": Contender(TRL, lambda trl, task: run_trl(trl, task, task.shape.micro_batch)),
    "TRL 1.12": Contender(TRL, lambda trl, task: run_trl(trl, task, task.shape.batch)),
    "ftsdk": Contender(FTSDK, run_ftsdk),
}


def measure(contender: Contender, task: Task) -> dict[str, float]:
    """Do the work; what it cost, and what it earned in the last updates."""
    importlib.import_module("torch._dynamo")  # imports are no part of the work
    library = importlib.import_module(contender.library)
    steps: list[None] = []
    register_optimizer_step_post_hook(lambda *_: steps.append(None))
    meter = Meter()
    contender.run(library, task)
    updates = marks[: task.updates]  # what is scored after them is for the eye
    return {
        "reward": statistics.mean(update.reward for update in updates[-LAST:]),
        "cpu_seconds": (updates[-1].cpu_seconds - updates[0].cpu_seconds) / (task.updates - 1),
        "optimizer_steps": len(steps) / task.updates,
        "peak_mb": meter.peak_mb,
        "bases": meter.peak_mb / (task.folder.joinpath("model", WEIGHTS).stat().st_size / 2**20),
    }


def main() -> None:
    """One run of one contender."""
    name, folder, shape = sys.argv[1], Path(sys.argv[2]), SHAPES[sys.argv[3]]
    updates, seed = map(int, sys.argv[4:])
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(CONTENDERS[name], Task(folder, scratch, shape, updates, seed))))


if __name__ == "__main__":
    main()
