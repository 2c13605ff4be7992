"""The work of ``ppo.py``: a random model is rewarded for a tenth of its words, from prompts that have none of them.

python benchmarks/ppo_task.py FOLDER SHAPE
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PROMPTS, EPOCHS, KL_COEF, VF_COEF, LEARNING_RATE, RANK = 512, 4, 0.02, 0.1, 3e-3, 16


class Architecture(NamedTuple):
    """How large the work is."""

    vocabulary: int
    hidden: int
    layers: int
    prompt: int
    response: int
    batch: int
    micro_batch: int

    @property
    def rewarded(self) -> range:
        """A tenth of the vocabulary; the tokenizer writes these words with a plus."""
        return range(self.vocabulary // 10)


SHAPES = {
    "toy": Architecture(vocabulary=512, hidden=128, layers=2, prompt=16, response=24, batch=32, micro_batch=8),
    "wide": Architecture(vocabulary=32_000, hidden=256, layers=4, prompt=64, response=64, batch=16, micro_batch=4),
    "large": Architecture(vocabulary=512, hidden=2048, layers=4, prompt=8, response=8, batch=4, micro_batch=2),
}
"""``toy`` shows learning; most of the memory is logits in ``wide``, and copies of the base in ``large``."""


class Mark(NamedTuple):
    """An update, seen where its responses have their reward."""

    cpu_seconds: float
    reward: float


marks: list[Mark] = []


def mark(reward: float) -> None:
    """Remember an update of this process."""
    marks.append(Mark(time.process_time(), reward))


def plus_words(prompts: list[str], completions: list[str], **columns: object) -> list[float]:
    """The reward in the form of ftsdk: the share of rewarded words in each response."""
    del prompts, columns
    shares = [
        sum(word.startswith("+") for word in completion.split()) / len(completion.split()) for completion in completions
    ]
    mark(sum(shares) / len(shares))
    return shares


def make_task(folder: Path, shape: Architecture) -> None:
    """Write the model, its tokenizer, and the prompts; nothing but its length ends a response."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.hidden * 11 // 4,
            num_hidden_layers=shape.layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    model.save_pretrained(folder / "model")
    words = [f"{'+' if number in shape.rewarded else ''}{number}" for number in range(shape.vocabulary)]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    plain = "{% for message in messages %}{{ message.content + ' ' }}{% endfor %}"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=plain).save_pretrained(folder / "model")
    rng, plain_words = random.Random(0), words[len(shape.rewarded) :]
    rows = [{"prompt": " ".join(rng.choices(plain_words, k=shape.prompt))} for _ in range(PROMPTS)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    make_task(Path(sys.argv[1]), SHAPES[sys.argv[2]])
