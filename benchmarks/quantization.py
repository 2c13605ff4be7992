"""What quantization costs: size and held-out loss of one fine-tune, in full precision and in every quantization kind.

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
from ftsdk.plugins import STEPS, load_plugin
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


def train(base: Path, folder: Path, rows: Sequence[Example], **changes: object) -> Path:
    """What the demo's training makes of a base: a whole model, the adapter merged."""
    folder.mkdir()
    os.environ["FTSDK_HOME"] = str(folder / "state")
    (folder / "rows.jsonl").write_text("".join(json.dumps(example.row()) + "\n" for example in rows))
    spec = ftsdk.load_spec({**SPEC, "model": str(base), "dataset": str(folder / "rows.jsonl")}, changes)
    job = ftsdk.submit(spec, backend="local")
    job.wait()
    artifact = job.fetch(folder / "made")
    return artifact.path if spec.adapter is None else ftsdk.merge(artifact.path, folder / "merged").path


@torch.inference_mode()
def loss_of(model: torch.nn.Module, tokenizer: object, held_out: Sequence[Example]) -> float:
    """The mean loss of the tokens of the held-out answers."""
    total = count = 0.0
    for example in held_out:
        prompt = tokenizer.apply_chat_template(
            example.row()["messages"][:1], add_generation_prompt=True, tokenize=False
        )
        ids = [tokenizer(prompt + end, add_special_tokens=False)["input_ids"] for end in ("", example.answer)]
        tokens = torch.tensor([[*ids[1], tokenizer.eos_token_id]], device=model.device)
        log_probs = model(input_ids=tokens).logits[0, :-1].float().log_softmax(-1)
        of_answer = log_probs.gather(1, tokens[0, 1:, None])[len(ids[0]) - 1 :]
        total, count = total - float(of_answer.sum()), count + len(of_answer)
    return total / count


def print_row(name: str, folder: Path, held_out: Sequence[Example], reference: list[str] | None) -> list[str]:
    """Print a row; gives the answers."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    layouts = [item for shard in shards_of(folder) for item in shard.tensors.items()]
    size = sum(layout.size for _, layout in layouts)
    layers = sum(layout.size for key, layout in layouts if ".layers." in key)
    loss = loss_of(model, tokenizer, held_out)
    questions = [example.row()["messages"][:1] for example in held_out]
    answers = load_plugin(STEPS, "load", extra="local")(folder).generate(questions, max_new_tokens=40)
    same = sum(a == b for a, b in zip(answers, reference or answers, strict=True))
    figures = f"{size / 1e6:.2f} MB | {layers / 1e6:.2f} MB | {loss:.4f} | {math.exp(loss):.3f}"
    print(f"| {name} | {figures} | {same} of {len(answers)} |", flush=True)
    return answers


def sizes(folder: Path, base: Path, rows: Sequence[Example], held_out: Sequence[Example]) -> None:
    """The table of all kinds, on one fine-tune."""
    print("| weights | all | layers | held-out loss | perplexity | same answers |\n|---|---|---|---|---|---|")
    merged = train(base, folder / "plain", rows)
    answers = print_row("float32", merged, held_out, None)
    half = cast(merged, folder / "bfloat16")
    print_row("bfloat16", half, held_out, answers)
    for kind in CHOSEN:
        print_row(f"`{kind}`", ftsdk.quantize(half, kind, folder / kind).path, held_out, answers)
    print_row("base before the training, float32", base, held_out, answers)


def losses(folder: Path, kind: str, held_out: Sequence[Example]) -> tuple[float, float]:
    """Of a fine-tune whole, and quantized."""
    half = cast(folder, folder.with_name("half"))
    small = ftsdk.quantize(half, kind, folder.with_name("small")).path
    runs = [
        loss_of(
            AutoModelForCausalLM.from_pretrained(folder_of).eval(), AutoTokenizer.from_pretrained(folder_of), held_out
        )
        for folder_of in (folder, small)
    ]
    for folder_of in (half, small):
        shutil.rmtree(folder_of)
    return runs[0], runs[1]


def aware(folder: Path, base: Path, seeds: int, rows: Sequence[Example], held_out: Sequence[Example]) -> None:
    """The table of quantization-aware trainings beside plain ones, seed by seed the same."""
    print("| what trains | kind | plain: whole | quantized | aware: whole | quantized | aware is lower |")
    print("|---|---|---|---|---|---|---|")
    for part, changes in TRAINED.items():
        losses_of_kind: dict[str, list[tuple[float, ...]]] = {kind: [] for kind in FOUR_BITS}
        for seed in range(seeds):
            run = {**changes, "training.seed": seed}
            plain = train(base, folder / f"{part}-{seed}", rows, **run)
            for kind, runs in losses_of_kind.items():
                aware_run = train(base, folder / f"{part}-{seed}-{kind}", rows, **run, **{AWARE: kind})
                runs.append((*losses(plain, kind, held_out), *losses(aware_run, kind, held_out)))
                print(f"  {part}, seed {seed}, {kind}: " + ", ".join(f"{loss:.4f}" for loss in runs[-1]), file=stderr)
        for kind, runs in losses_of_kind.items():
            medians = " | ".join(f"{median(column):.4f}" for column in zip(*runs, strict=True))
            lower = sum(aware_loss < plain_loss for _, plain_loss, _, aware_loss in runs)
            print(f"| {part} | `{kind}` | {medians} | with {lower} of {seeds} seeds |", flush=True)


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
