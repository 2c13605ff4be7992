"""The step ``load``: load an adapter on its base, or a whole model, to generate in the caller's process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from ftsdk.artifact.model_files import artifact_kind
from ftsdk.errors import ArtifactError, InputError
from ftsdk.modeling.loading import load_base, pick_device
from ftsdk.posttrain.base_model import base_of
from ftsdk.posttrain.loading import load_model, quiet_libraries, require_library
from ftsdk.translation.model_source import is_reward_model

Prompt = str | list[dict[str, Any]]


class Generator:
    """A loaded model that answers prompts.

    Args:
        model: A causal language model, with its adapter if it has one.
        tokenizer: The tokenizer that was saved with it.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int = 64, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """One answer per prompt.

        Args:
            prompts: Chat messages; or plain text, sent as a user's message if the model has a chat template.
            max_new_tokens: Longest answer, in tokens.
            temperature: Of sampling; at 0 the likeliest token is taken each time.
            seed: Of the sampling.

        Raises:
            InputError: A setting is out of range, or a prompt is neither text nor messages.
        """
        if max_new_tokens < 1 or temperature < 0:
            problem = "max_new_tokens must be at least 1, and temperature at least 0"
            raise InputError(problem, hint="correct max_new_tokens or temperature")
        if not prompts:
            return []
        torch.manual_seed(seed)
        texts = [self._text(prompt) for prompt in prompts]
        inputs = self.tokenizer(
            texts,
            return_tensors="pt",
            padding=True,
            add_special_tokens=self.tokenizer.chat_template is None,  # a chat template writes its own
            return_token_type_ids=False,
        ).to(self.model.device)
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        output = self.model.generate(
            **inputs,
            **sampling,
            max_new_tokens=max_new_tokens,
            use_cache=True,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        answers = output[:, inputs["input_ids"].shape[1] :]
        return [answer.strip() for answer in self.tokenizer.batch_decode(answers, skip_special_tokens=True)]

    def _text(self, prompt: Prompt) -> str:
        if not isinstance(prompt, str | list):
            raise InputError(
                f"a prompt is text, or a list of messages, and not {type(prompt).__name__}",
                hint='give "text", or [{"role": "user", "content": "text"}]',
            )
        if self.tokenizer.chat_template is None:
            return prompt if isinstance(prompt, str) else "\n".join(str(message["content"]) for message in prompt)
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def load(folder: Path) -> Generator:
    """Load the artifact of a job, or any model folder.

    Args:
        folder: A PEFT adapter, whose base is loaded as in training, or a whole model.

    Raises:
        ArtifactError: It is a reward model.
        MissingExtra: The model is quantized by a library that is not installed.
    """
    if is_reward_model(folder):
        raise ArtifactError(
            f"{folder} holds a reward model: it scores answers and writes none",
            hint="name it in method.reward of a PPO spec; its README.md shows how to score with it",
        )
    # Padding stands on the left, so that each answer begins right behind its prompt.
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    with quiet_libraries():
        return Generator(_load_model(folder), tokenizer)


def _load_model(folder: Path) -> Any:
    if artifact_kind(folder) == "adapter":
        return _with_adapter(folder)
    return load_model(folder, scores=False, device_map={"": pick_device()})


def _with_adapter(folder: Path) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - a whole model does not need it

    base = base_of(folder)
    require_library("bitsandbytes" if base.quantization else None, "local")
    return PeftModel.from_pretrained(load_base(base, pick_device(), trains=False), folder)
