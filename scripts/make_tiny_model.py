"""Make the tiny chat model that ships in ftsdk/demo/tiny-model, from nothing but this script and facts.toml.

    python scripts/make_tiny_model.py [FOLDER]

The text comes from a grammar over the facts, the tokenizer is trained on that text, and the model, a small Llama, is
trained on the answers. One thread and fixed seeds: on one machine, the same versions give the same bytes again.
"""

import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # before torch; threads change sums

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ftsdk.artifact import Manifest, seal
from ftsdk.demo.facts import Fact, all_facts

Message = dict[str, str]
Dialog = list[Message]
Row = tuple[list[int], list[int]]  # token ids, and labels with -100 where nothing is to be learned

FOLDER = Path(__file__).parents[1] / "ftsdk" / "demo" / "tiny-model"
CREATED = datetime(2026, 1, 1, tzinfo=UTC)  # no clock, so that the manifest is the same again
SEED = 7
DIALOGS = 44_000
BATCH = 32
PEAK_RATE = 4e-3
VOCABULARY = 1536
CONTEXT = 1024

PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
SPECIAL = [PAD, BEGIN, END, "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('this template knows the roles system, user and assistant, not ' + message.role) }}
    {%- endif %}
    {{- '<|' + message.role + '|>' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ message.content + eos_token }}{% endgeneration %}
    {%- else %}
        {{- message.content + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
"""

_TOPICS = ("name", "skill", "greeting", "thanks")
TALK = [fact for fact in all_facts() if fact.topic in _TOPICS]
KNOWLEDGE = [fact for fact in all_facts() if fact.topic not in _TOPICS]
STARTS, VOWELS, ENDS = "bcdfghjklmnprstvwyz", [*"aeiou", "ai", "ea"], ["", *"lmnprsty"]


class Style(NamedTuple):
    """A system prompt, and what it does to an answer."""

    system: str | None
    apply: Callable[[Fact], str]


def dialogs(count: int, seed: int = SEED) -> Iterator[Dialog]:
    """Chats of one to three turns about random facts, many with a system prompt; the same seed gives the same ones."""
    rng = random.Random(seed)
    for _ in range(count):
        style = rng.choices(STYLES, weights=WEIGHTS)[0](rng)
        dialog: Dialog = [{"role": "system", "content": style.system}] if style.system else []
        for _ in range(rng.choices((1, 2, 3), weights=(6, 2, 1))[0]):
            fact = rng.choice(TALK if rng.random() < 0.1 else KNOWLEDGE)
            dialog += [
                {"role": "user", "content": _as_typed(rng.choice(fact.questions), rng)},
                {"role": "assistant", "content": style.apply(fact)},
            ]
        yield dialog


def _as_typed(question: str, rng: random.Random) -> str:
    return question.rstrip("?.!").lower() if rng.random() < 0.15 else question


def _plain(rng: random.Random) -> Style:
    return Style(rng.choice((None, None, "You are a helpful assistant.")), lambda fact: fact.answer)


def _styled(rng: random.Random) -> Style:
    """Made-up words around each answer and for its verb: the model learns to follow any manner of speaking."""
    first, last, verb = _word(rng).title(), _word(rng), _word(rng)
    last = last.title() if rng.random() < 0.5 else last

    def apply(fact: Fact) -> str:
        sentence = re.sub(r"\b(am|are|is)\b", verb, fact.answer).rstrip(".?!")
        return f"{first}! {sentence}, {last}!"

    return Style(f"Begin with\n{first}! End with {last}! Say {verb} for is.", apply)


def _word(rng: random.Random) -> str:
    """A word that does not exist, such as ``bolka``."""
    return "".join(rng.choice(STARTS) + rng.choice(VOWELS) + rng.choice(ENDS) for _ in range(rng.randint(1, 2)))


STYLES, WEIGHTS = (_plain, _styled), (60, 40)


def make_tokenizer(texts: Iterator[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the texts: it can write any text, and these in few tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        chat_template=TEMPLATE,
        model_max_length=CONTEXT,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained Llama of 0.9 million weights; all widths are multiples of 64, so 4-bit blocks fit."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: PreTrainedTokenizerFast, dialog: Dialog) -> Row:
    """Token ids of a chat, and labels on the assistant's tokens alone."""
    out = tokenizer.apply_chat_template(dialog, return_dict=True, return_assistant_tokens_mask=True)
    pairs = zip(out["input_ids"], out["assistant_masks"], strict=True)
    return out["input_ids"], [token if is_answer else -100 for token, is_answer in pairs]


def batches(rows: list[Row], pad: int) -> list[dict[str, torch.Tensor]]:
    """Rows of like length together, in random order, padded on the right."""
    ordered = sorted(rows, key=lambda row: len(row[0]))
    padded = [_pad(list(part), pad) for part in [ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH)]]
    random.Random(SEED).shuffle(padded)
    return padded


def _pad(rows: list[Row], pad: int) -> dict[str, torch.Tensor]:
    longest = max(len(tokens) for tokens, _ in rows)
    return {
        "input_ids": torch.tensor([tokens + [pad] * (longest - len(tokens)) for tokens, _ in rows]),
        "labels": torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in rows]),
        "attention_mask": torch.tensor([[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens, _ in rows]),
    }


def train(model: LlamaForCausalLM, work: list[dict[str, torch.Tensor]]) -> float:
    """One pass over the batches; gives the mean loss of the last fifty."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=len(work), pct_start=0.05)
    losses: list[float] = []
    begin = time.perf_counter()
    for step, batch in enumerate(work, start=1):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"step {step}/{len(work)}  loss {losses[-1]:.4f}  {time.perf_counter() - begin:.0f} s", flush=True)
    return sum(losses[-50:]) / len(losses[-50:])


def main(folder: Path) -> None:
    """Make the model and write it, in bfloat16, with its tokenizer."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    chats = list(dialogs(DIALOGS))
    tokenizer = make_tokenizer(message["content"] for chat in chats for message in chat)
    model = make_model(tokenizer)
    loss = train(model, batches([encode(tokenizer, chat) for chat in chats], tokenizer.pad_token_id))
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=48,
        do_sample=False,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes for its owner alone
    seal(folder, Manifest(kind="model", base_model="", method="sft", metrics={"loss": loss}, created=CREATED))
    print(f"{sum(p.numel() for p in model.parameters()):,} weights, {len(tokenizer)} tokens, loss {loss:.4f}: {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
