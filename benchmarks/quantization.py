"""What few bits cost: size and held-out loss of one fine-tune, whole and in every kind that this machine makes.

    python benchmarks/quantization.py
    python benchmarks/quantization.py --aware 5

The packaged tiny model, in float32, learns to talk like a pirate (the rows and settings of ``ftsdk demo``, without its
nf4); the adapter is merged, cast to bfloat16 and quantized. Printed for each: bytes of the weights, of them those of
the layers alone, the mean loss per token of the held-out answers, and how many greedy answers are the whole model's.

``--aware N`` trains all weights, and an adapter, each with N seeds: plainly, and aware of each kind of 4 bits. Printed
are the medians of the held-out losses, whole and quantized, and with how many seeds the aware one is lower.
"""

import argparse
import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from sys import stderr

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}  # before torch

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

import ftsdk
from ftsdk.demo.persona import Example, examples
from ftsdk.demo.pipeline import tiny_model
from ftsdk.plugins import load_step
from ftsdk.posttrain.quantization_kinds import KINDS
from ftsdk.posttrain.weights import shards_of

SPEC = {
    "adapter": {"r": 16},
    "training": {"max_steps": 120, "learning_rate": 3e-3, "global_batch_size": 16, "max_length": 128},
}
TRAINED = {"all weights": {"adapter": None, "training.learning_rate": 1e-3}, "an adapter": {}}
"""What trains, with what is different from :data:`SPEC`."""
AWARE = "training.quantization_aware"
FOUR_BITS = ("int4", "int8-dynamic-int4-weight")
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


def trained(base: Path, folder: Path, rows: Sequence[Example], **changes: object) -> Path:
    """What the demo's training makes of a base: a whole model, the adapter merged."""
    folder.mkdir()
    os.environ["FTSDK_HOME"] = str(folder / "state")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row.row()) + "\n" for row in rows))
    spec = ftsdk.load_spec({**SPEC, "model": str(base), "dataset": str(folder / "rows.jsonl")}, changes)
    job = ftsdk.submit(spec, backend="local")
    job.wait()
    made = job.fetch(folder / "made")
    return made.path if spec.adapter is None else ftsdk.merge(made.path, folder / "merged").path


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
    answers = load_step("load")(folder).generate(asked, max_new_tokens=40)
    same = sum(a == b for a, b in zip(answers, whole or answers, strict=True))
    figures = f"{size / 1e6:.2f} MB | {layers / 1e6:.2f} MB | {loss:.4f} | {math.exp(loss):.3f}"
    print(f"| {name} | {figures} | {same} of {len(answers)} |", flush=True)
    return answers


def sizes(folder: Path, base: Path, rows: Sequence[Example], held_out: Sequence[Example]) -> None:
    """The table of all kinds, on one fine-tune."""
    print("| weights | all | layers | held-out loss | perplexity | same answers |\n|---|---|---|---|---|---|")
    merged = trained(base, folder / "plain", rows)
    whole = row("float32", merged, held_out, None)
    half = cast(merged, folder / "bfloat16")
    row("bfloat16", half, held_out, whole)
    for kind in CHOSEN:
        row(f"`{kind}`", ftsdk.quantize(half, kind, folder / kind).path, held_out, whole)
    row("base before the training, float32", base, held_out, whole)


def losses(folder: Path, kind: str, held_out: Sequence[Example]) -> tuple[float, float]:
    """Of a fine-tune whole, and quantized."""
    half = cast(folder, folder.with_name("half"))
    small = ftsdk.quantize(half, kind, folder.with_name("small")).path
    found = [
        loss_of(AutoModelForCausalLM.from_pretrained(each).eval(), AutoTokenizer.from_pretrained(each), held_out)
        for each in (folder, small)
    ]
    for each in (half, small):
        shutil.rmtree(each)
    return found[0], found[1]


def aware(folder: Path, base: Path, seeds: int, rows: Sequence[Example], held_out: Sequence[Example]) -> None:
    """The table of quantization-aware trainings beside plain ones, seed by seed the same."""
    print("| what trains | kind | plain: whole | quantized | aware: whole | quantized | aware is lower |")
    print("|---|---|---|---|---|---|---|")
    for what, changes in TRAINED.items():
        seen: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in FOUR_BITS}
        for seed in range(seeds):
            run = {**changes, "training.seed": seed}
            plain = trained(base, folder / f"{what}-{seed}", rows, **run)
            for kind, found in seen.items():
                learned = trained(base, folder / f"{what}-{seed}-{kind}", rows, **run, **{AWARE: kind})
                found.append((*losses(plain, kind, held_out), *losses(learned, kind, held_out)))
                print(f"  {what}, seed {seed}, {kind}: " + ", ".join(f"{loss:.4f}" for loss in found[-1]), file=stderr)
        for kind, found in seen.items():
            medians = " | ".join(f"{median(column):.4f}" for column in zip(*found, strict=True))
            lower = sum(each[3] < each[1] for each in found)
            print(f"| {what} | `{kind}` | {medians} | with {lower} of {seeds} seeds |", flush=True)


def main() -> None:
    """Train, quantize, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aware", type=int, metavar="N", help="quantization-aware trainings, with N seeds")
    seeds = parser.parse_args().aware
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    rows, held_out = examples()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = in_float32(folder / "base")
        if seeds:
            aware(folder, base, seeds, rows, held_out)
        else:
            sizes(folder, base, rows, held_out)


if __name__ == "__main__":
    main()
