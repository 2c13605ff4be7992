"""What few bits cost: size and held-out loss of one fine-tune, whole and in every kind that this machine makes.

    python benchmarks/quantization.py

The packaged tiny model, in float32, learns to talk like a pirate (the rows and settings of ``ftsdk demo``, without its
nf4); the adapter is merged, cast to bfloat16 and quantized. The same is done after each quantization-aware training.
Printed for each: bytes of the weights, of them those of the layers alone, the mean loss per token of the held-out
answers, and how many greedy answers are the whole model's.
"""

import argparse
import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}  # before torch

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

import ftsdk
from ftsdk.artifact.steps import step
from ftsdk.demo.persona import Example, examples
from ftsdk.demo.tour import tiny_model
from ftsdk_local.after.kinds import KINDS
from ftsdk_local.after.weights import shards_of
from ftsdk_local.engine.rounding import RECIPES

CHOSEN = [name for name, kind in KINDS.items() if not kind.on_gpu or torch.cuda.is_available()]


def in_float32(target: Path) -> Path:
    """The tiny model with weights of 32 bits."""
    shutil.copytree(tiny_model().path, target, ignore=shutil.ignore_patterns("ftsdk.json", "*.safetensors"))
    AutoModelForCausalLM.from_pretrained(tiny_model().path, dtype=torch.float32).save_pretrained(target)
    return target


def cast(model: Path, target: Path) -> Path:
    """A model in bfloat16, as most are handed out."""
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("ftsdk.json", "*.safetensors"))
    AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).save_pretrained(target)
    return target


def trained(base: Path, folder: Path, rows: Sequence[Example], aware: str | None = None) -> Path:
    """The adapter of the demo's training on a base, aware of a quantization or not."""
    folder.mkdir()
    os.environ["FTSDK_HOME"] = str(folder / "state")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row.row()) + "\n" for row in rows))
    spec = ftsdk.JobSpec(
        model=str(base),
        dataset=ftsdk.Dataset(path=str(folder / "rows.jsonl")),
        adapter=ftsdk.LoRA(r=16),
        training=ftsdk.Training(
            max_steps=120, learning_rate=3e-3, global_batch_size=16, max_length=128, quantization_aware=aware
        ),
    )
    job = ftsdk.submit(spec, backend="local")
    job.wait()
    return job.fetch(folder / "adapter").path


@torch.inference_mode()
def loss_of(model: torch.nn.Module, tokenizer: object, held_out: Sequence[Example]) -> float:
    """The mean loss of the tokens of the held-out answers."""
    total = count = 0.0
    for example in held_out:
        asked = tokenizer.apply_chat_template(example.row()["messages"][:1], add_generation_prompt=True, tokenize=False)
        ids = [tokenizer(asked + end, add_special_tokens=False)["input_ids"] for end in ("", example.answer)]
        whole = torch.tensor([[*ids[1], tokenizer.eos_token_id]], device=model.device)
        log_probs = model(input_ids=whole).logits[0, :-1].float().log_softmax(-1)
        of_answer = log_probs.gather(1, whole[0, 1:, None])[len(ids[0]) - 1 :]
        total, count = total - float(of_answer.sum()), count + len(of_answer)
    return total / count


def row(name: str, folder: Path, held_out: Sequence[Example], whole: list[str] | None) -> list[str]:
    """Print a row; gives the answers."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    layouts = [item for shard in shards_of(folder) for item in shard.tensors.items()]
    size = sum(layout.size for _, layout in layouts)
    layers = sum(layout.size for key, layout in layouts if ".layers." in key)
    loss = loss_of(model, tokenizer, held_out)
    asked = [example.row()["messages"][:1] for example in held_out]
    answers = step("load")(folder).generate(asked, max_new_tokens=40)
    same = sum(a == b for a, b in zip(answers, whole or answers, strict=True))
    figures = f"{size / 1e6:.2f} MB | {layers / 1e6:.2f} MB | {loss:.4f} | {math.exp(loss):.3f}"
    print(f"| {name} | {figures} | {same} of {len(answers)} |", flush=True)
    return answers


def main() -> None:
    """Train, merge, quantize, and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    rows, held_out = examples()
    print("| weights | all | layers | held-out loss | perplexity | same answers |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = in_float32(folder / "base")
        merged = ftsdk.merge(trained(base, folder / "plain", rows), folder / "merged").path
        whole = row("float32", merged, held_out, None)
        half = cast(merged, folder / "bfloat16")
        row("bfloat16", half, held_out, whole)
        for kind in CHOSEN:
            row(f"`{kind}`", ftsdk.quantize(half, kind, folder / kind).path, held_out, whole)
        for kind in RECIPES:
            aware = trained(base, folder / f"aware-{kind}", rows, kind)
            half = cast(ftsdk.merge(aware, folder / f"merged-{kind}").path, folder / f"half-{kind}")
            made = ftsdk.quantize(half, kind, folder / f"quantized-{kind}")
            row(f"`{kind}`, trained quantization-aware", made.path, held_out, whole)
        row("base before the training, float32", base, held_out, whole)


if __name__ == "__main__":
    main()
