"""Measure the peak of the local engine's steps on the CPU, for the table of docs/forecast.md.

    python benchmarks/memory.py >> benchmarks/points.csv

Each point runs in a process of its own: a random Llama, two optimizer steps of two micro-batches of random tokens,
every token with a loss. Counted is what PyTorch's own allocator holds (its profiler notes each allocation and release), above
nothing; so neither the libraries nor other work on the machine change the number.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SHAPES = {
    "random Llama A": {"hidden_size": 256, "intermediate_size": 704, "layers": 4, "heads": 4, "kv": 2, "vocab": 4100},
    "random Llama B": {"hidden_size": 512, "intermediate_size": 1408, "layers": 6, "heads": 8, "kv": 8, "vocab": 2048},
    "random Llama C": {"hidden_size": 256, "intermediate_size": 704, "layers": 4, "heads": 4, "kv": 2, "vocab": 32000},
    "random Llama D": {"hidden_size": 256, "intermediate_size": 1536, "layers": 4, "heads": 4, "kv": 4, "vocab": 1000},
}
COLUMNS = ("model", "quantization", "dtype", "checkpointing", "tokens", "rank")
POINTS = [
    (shape, quantization, dtype, checkpointing, 1024, rank)
    for shape, quantization, rank in (
        ("random Llama A", "nf4", 16),
        ("random Llama B", "nf4", 16),
        ("random Llama B", None, 16),
        ("random Llama B", None, 0),
        ("random Llama D", "nf4", 16),
    )
    for dtype in ("float32", "mixed")
    for checkpointing in (True, False)
] + [
    ("random Llama A", "nf4", "float32", True, 2048, 8),
    ("random Llama A", "nf4", "mixed", False, 256, 64),
    ("random Llama B", "nf4", "bfloat16", True, 1024, 16),
    ("random Llama B", None, "bfloat16", True, 1024, 16),
    ("random Llama B", "int8", "float32", True, 1024, 16),
    ("random Llama C", "nf4", "mixed", True, 1024, 16),
    ("random Llama C", None, "mixed", True, 2048, 16),
]


def measure(shape: str, quantization: str | None, dtype: str, checkpointing: bool, tokens: int, rank: int) -> int:
    """Bytes at the peak."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments, set_seed

    from ftsdk_local.engine.adapter import add_adapter
    from ftsdk_local.engine.batches import Example
    from ftsdk_local.engine.memory import MicroBatch
    from ftsdk_local.engine.model import load_base
    from ftsdk_local.engine.objective import Objective, find_route
    from ftsdk_local.engine.trainer import RowTrainer
    from ftsdk_local.settings import ModelSettings
    from ftsdk_local.translate import QUANTIZATIONS

    set_seed(0)
    size = SHAPES[shape]
    with tempfile.TemporaryDirectory() as folder:
        config = LlamaConfig(
            vocab_size=size["vocab"],
            hidden_size=size["hidden_size"],
            intermediate_size=size["intermediate_size"],
            num_hidden_layers=size["layers"],
            num_attention_heads=size["heads"],
            num_key_value_heads=size["kv"],
        )
        LlamaForCausalLM(config).save_pretrained(folder)
        options = dict(QUANTIZATIONS[quantization]) if quantization else None
        if quantization == "nf4":
            options["bnb_4bit_use_double_quant"] = True
        settings = ModelSettings(
            name=folder,
            revision=None,
            dtype="bfloat16" if dtype == "mixed" else dtype,
            quantization=options,
            attention="auto",
            trust_remote_code=False,
        )
        base = load_base(settings, torch.device("cpu"), trains=rank == 0)
        lora = {"r": rank, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} if rank else None
        model = add_adapter(base, lora)
        ids = torch.randint(5, size["vocab"], (4, tokens)).int().numpy()
        examples = [[Example(row, row)] for row in ids]
        trainer = RowTrainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=2,
                num_train_epochs=1,
                optim="adamw_torch_fused",
                logging_steps=1,
                report_to="none",
                save_strategy="no",
                use_cpu=True,
                bf16=dtype == "mixed",
                disable_tqdm=True,
                gradient_checkpointing=checkpointing,
                gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
                remove_unused_columns=False,
            ),
            train_dataset=examples,
            objective=Objective(base, find_route(base, [example[0] for example in examples])),
            micro_batch=MicroBatch(tokens),
            warn=print,
        )
        return held(model) + above(trainer.train)


def held(model: object) -> int:
    """Bytes of all that the model's layers hold, with the scales of quantized weights."""
    seen = {}
    for module in model.modules():
        tensors = [*module._parameters.values(), *module._buffers.values()]
        for tensor in [each for each in tensors if each is not None]:
            state = getattr(tensor, "quant_state", None)
            second = getattr(state, "state2", None)
            parts = [getattr(where, name, None) for where in (state, second) for name in ("absmax", "code", "offset")]
            for part in [tensor, *parts]:
                if hasattr(part, "untyped_storage"):
                    seen[part.untyped_storage().data_ptr()] = part.untyped_storage().nbytes()
    return sum(seen.values())


def above(work: object) -> int:
    """The most bytes that the allocator has given out at one time while the work was done."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    events = [each for each in watched.profiler.kineto_results.events() if each.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def main() -> None:
    """Print a line for each point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="skip the points before this one")
    parser.add_argument("--point", type=int, help="measure only this one, in this process")
    options = parser.parse_args()
    number = options.point
    if number is not None:
        print(json.dumps(measure(*POINTS[number])))
        return
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    for index, point in list(enumerate(POINTS))[options.first :]:
        command = [sys.executable, str(Path(__file__)), "--point", str(index)]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        csv.writer(sys.stdout).writerow([*point, done.stdout.splitlines()[-1]])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
