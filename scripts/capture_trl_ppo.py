"""Capture what TRL 1.12's PPO computes, as the reference that ours is tested against: tests/backends/local/golden/ppo.

    python -m pip install --no-deps --target build/trl-1.12 trl==1.12.0
    PYTHONPATH=build/trl-1.12 python scripts/capture_trl_ppo.py [FOLDER]

TRL removed its PPO trainer in 1.13; this is the last release that has it. Its own trainer trains a tiny random Llama in
float64 for a few updates, and the tensors of the last one are read from its ``train`` while it runs: one safetensors
file for each case, and its settings in a line of cases.jsonl. One thread and fixed seeds.

Shapes: B responses, R tokens of the longest, S optimizer steps, M responses in each.
"""

import inspect
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # before torch; threads change sums

import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    set_seed,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

FOLDER = Path(__file__).parents[1] / "tests" / "backends" / "local" / "golden" / "ppo"
WORDS, PAD, END = 12, 0, 1
BATCH, PROMPT, RESPONSE, UPDATES = 16, 4, 6, 3
SETTINGS = {"kl_estimator": "k1", "whiten_rewards": False, "gamma": 1.0, "lam": 0.95, "num_mini_batches": 2}
CASES = {
    "k1": {},
    "k3": {"kl_estimator": "k3", "gamma": 0.9, "lam": 0.8},
    "k1-whitened": {"whiten_rewards": True},
    "stop": {"stop_token": "eos"},
    "stop-penalty": {"stop_token": "eos", "missing_eos_penalty": 1.0, "kl_estimator": "k3", "num_mini_batches": 4},
    "stop-whitened": {"stop_token": "eos", "missing_eos_penalty": 0.5, "whiten_rewards": True, "gamma": 0.9},
    "stop-lambda-1": {"stop_token": "eos", "missing_eos_penalty": 1.0, "lam": 1.0},
}
BATCH_TENSORS = {
    "responses": "postprocessed_responses",
    "log_probs": "logprobs",
    "reference_log_probs": "ref_logprobs",
    "values": "values",
    "scores": "scores",
    "kl": "kl",
    "rewards": "rewards",
    "advantages": "advantages",
    "returns": "returns",
    "clip_fraction": "pg_clipfrac_stats",
    "value_clip_fraction": "vf_clipfrac_stats",
    "approx_kl": "approxkl_stats",
}
"""Ours to TRL's: what ``train`` holds at the end of an update."""
STEP_TENSORS = {
    "log_probs": "new_logprobs",
    "values": "vpred",
    "policy_loss": "pg_loss",
    "value_loss": "vf_loss",
    "loss": "loss",
}
"""What it holds when it goes backward."""


class Capture(PPOTrainer):  # type: ignore[misc]
    """TRL's trainer, which keeps the tensors of its last update in ``kept``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kept: dict[str, Tensor] = {}
        self.steps: list[dict[str, Tensor]] = []
        self.backward, self.accelerator.backward = self.accelerator.backward, self.keep_step

    def keep_step(self, loss: Tensor) -> None:
        """Called by ``train`` with the loss of a minibatch."""
        variables = _caller()
        names = ("new_logprobs", "vpred")
        slopes = torch.autograd.grad(loss, [variables[name] for name in names], retain_graph=True)
        step = {f"step_{name}": variables[variable] for name, variable in STEP_TENSORS.items()}
        step |= dict(zip(("step_log_probs_gradient", "step_values_gradient"), slopes, strict=True))
        self.steps.append(step | {"step_rows": torch.from_numpy(variables["micro_batch_inds"])})
        self.backward(loss)

    def log(self, logs: dict[str, float], *_: Any) -> None:
        """Called by ``train`` at the end of an update."""
        del logs
        variables = _caller()
        self.kept = {name: variables[variable] for name, variable in BATCH_TENSORS.items()}
        self.kept |= {"mask": ~variables["padding_mask"], "mask_and_slot": ~variables["padding_mask_p1"]}
        self.kept |= {name: torch.stack([step[name] for step in self.steps]) for name in self.steps[0]}
        self.steps = []


def _caller() -> dict[str, Any]:
    """The variables of the function that called the caller of this one."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    assert frame.f_back.f_back is not None
    return frame.f_back.f_back.f_locals


def capture(settings: dict[str, Any], folder: str) -> dict[str, Tensor]:
    """Run one case; the tensors of its last update."""
    set_seed(0)
    rewarded: list[Tensor] = []
    reward_model = _scorer()
    scoring = ppo_trainer.get_reward

    def keep_scores(model: Any, *arguments: Any) -> Any:
        scores = scoring(model, *arguments)
        if model is reward_model:
            rewarded[:] = [scores[1].clone()]  # before the penalty, which is taken off in place
        return scores

    ppo_trainer.get_reward = keep_scores
    try:
        policy, reference = _policy(), _policy()
        reference.load_state_dict(policy.state_dict())
        trainer = Capture(
            args=_arguments(settings, folder),
            processing_class=_tokenizer(),
            model=policy,
            ref_model=reference,
            reward_model=reward_model,
            value_model=_scorer(),
            train_dataset=_prompts(),
        )
        trainer.train()
    finally:
        ppo_trainer.get_reward = scoring
    tensors = {**trainer.kept, "rewarded": rewarded[0]}
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def _arguments(settings: dict[str, Any], folder: str) -> PPOConfig:
    return PPOConfig(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=1,
        total_episodes=UPDATES * BATCH,
        num_ppo_epochs=2,
        kl_coef=0.1,
        response_length=RESPONSE,
        temperature=1.0,
        learning_rate=3e-2,
        lr_scheduler_type="constant",
        num_sample_generations=0,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=0,
        **settings,
    )


def _configuration() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=WORDS,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
        initializer_range=0.5,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=END,
        num_labels=1,
    )


def _policy() -> LlamaForCausalLM:
    """Never draws the padding token, which TRL would take for the end of a response."""
    model = LlamaForCausalLM(_configuration())
    head = nn.Linear(model.config.hidden_size, WORDS)
    head.weight = model.lm_head.weight
    head.bias.data = torch.tensor([-1e4 if word == PAD else 0.0 for word in range(WORDS)])
    head.bias.requires_grad_(requires_grad=False)
    model.lm_head = head
    return model


def _scorer() -> LlamaForSequenceClassification:
    return LlamaForSequenceClassification(_configuration())


def _prompts() -> Dataset:
    return Dataset.from_dict({"input_ids": torch.randint(2, WORDS, (4 * BATCH, PROMPT)).tolist()})


def _tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": PAD, "<end>": END} | {f"w{number}": number for number in range(2, WORDS)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="w2")),  # noqa: S106 - no password
        pad_token="<pad>",  # noqa: S106
        eos_token="<end>",  # noqa: S106
        padding_side="left",
    )


def main() -> None:
    """Capture every case."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    target.mkdir(parents=True, exist_ok=True)
    torch.set_default_dtype(torch.float64)
    lines = []
    for name, changes in CASES.items():
        settings = {**SETTINGS, **changes}
        with tempfile.TemporaryDirectory() as folder:
            arguments = _arguments(settings, folder)
            save_file(capture(settings, folder), target / f"{name}.safetensors")
        names = ("kl_coef", "missing_eos_penalty", "cliprange", "cliprange_value", "vf_coef", "num_ppo_epochs")
        facts = {key: getattr(arguments, key) for key in names}
        lines.append(json.dumps({"name": name, "end": END, **settings, **facts}))
    (target / "cases.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
