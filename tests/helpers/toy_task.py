"""A task that separates learning from noise: a random model is rewarded for a tenth of its words."""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = 64
GOOD = frozenset(f"w{number}" for number in range(3, 10))


def good_words(prompts, completions, **columns):
    """The share of rewarded words among all words of a response."""
    del prompts, columns
    return [
        sum(word in GOOD for word in completion.split()) / max(len(completion.split()), 1) for completion in completions
    ]


def nothing(prompts, completions, **columns):
    """No response is worth anything."""
    del completions, columns
    return [0.0 for _ in prompts]


def make_task(folder: Path, *, prompts: int = 256, hidden: int = 128, end: bool = False) -> tuple[Path, Path]:
    """A random model and prompts of 16 words that are never rewarded.

    Args:
        folder: Where to.
        prompts: How many.
        hidden: Width of the model.
        end: Whether there is a token that ends a response.
    """
    vocabulary = {"<pad>": 0, "<unk>": 1, "<end>": 2} | {f"w{number}": number for number in range(3, WORDS)}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    special = {"pad_token": "<pad>", "unk_token": "<unk>"} | ({"eos_token": "<end>"} if end else {})
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **special)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content + ' ' }}{% endfor %}"
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS,
            hidden_size=hidden,
            intermediate_size=int(hidden * 2.75),
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=2 if end else None,
        )
    )
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rng = random.Random(0)
    rows = [{"prompt": " ".join(f"w{rng.randrange(10, WORDS)}" for _ in range(16))} for _ in range(prompts)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder / "model", folder / "prompts.jsonl"
