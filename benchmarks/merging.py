"""The memory that merging and quantizing take: ftsdk's steps beside PEFT's ``merge_and_unload``. Linux alone.

    python benchmarks/merging.py [--layers 8 16]

A random Llama (hidden 1024, vocabulary 8,000) in bfloat16, in files of 100 MB, with a LoRA adapter of rank 16 on every
linear layer. Each contender runs in a process of its own. Printed is the peak of memory that is the process's own
(RssAnon) above what it held once its libraries were loaded; pages of mapped files, which the system may take back at
any moment, are not in it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}  # before torch

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from ftsdk.artifact.model_files import CHAT_TEMPLATE, GENERATION_CONFIG, TOKENIZER_CONFIG
from ftsdk.demo.pipeline import tiny_model
from ftsdk.posttrain.merge import merge
from ftsdk.posttrain.quantize import quantize

TOKENIZER = ("tokenizer.json", TOKENIZER_CONFIG, CHAT_TEMPLATE, GENERATION_CONFIG)


def by_peft(folder: Path) -> None:
    """What most people do."""
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    PeftModel.from_pretrained(base, folder / "adapter").merge_and_unload().save_pretrained(folder / "by-peft")


CONTENDERS = {
    "PEFT's merge_and_unload": by_peft,
    "ftsdk merge": lambda folder: merge(folder / "adapter", folder / "merged"),
    "ftsdk quantize int8": lambda folder: quantize(folder / "base", "int8", folder / "int8"),
    "ftsdk quantize nf4": lambda folder: quantize(folder / "base", "nf4", folder / "nf4"),
}


def own_memory() -> int:
    """Bytes that are this process's own."""
    status = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) * 1024


def measure(name: str, folder: Path) -> None:
    """Run one contender and print its peak, in MB."""
    import bitsandbytes  # noqa: F401, PLC0415 - loaded before the count begins
    import torchao  # noqa: F401, PLC0415 - same

    torch.set_num_threads(1)
    base = peak = own_memory()
    finished = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not finished.is_set():
            peak = max(peak, own_memory())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        CONTENDERS[name](folder)
    finally:
        finished.set()
        watcher.join()
    print((peak - base) / 1e6)


def make(folder: Path, layers: int) -> float:
    """A base and an adapter; gives the size of the base, in MB."""
    config = LlamaConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        vocab_size=8000,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder / "base", max_shard_size="100MB")
    tuned = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.01)
    tuned.peft_config["default"].base_model_name_or_path = str(folder / "base")
    tuned.save_pretrained(folder / "adapter")
    for name in TOKENIZER:
        shutil.copyfile(tiny_model().path / name, folder / "base" / name)
    return sum(path.stat().st_size for path in (folder / "base").glob("*.safetensors")) / 1e6


def main() -> None:
    """Print the table, or run the one contender that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="*", default=[8, 16])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable_progress_bar()
    if options.one:
        measure(options.one[0], Path(options.one[1]))
        return
    print("| layers | weights |", *(f"{name} |" for name in CONTENDERS), "\n|---|---|" + "---|" * len(CONTENDERS))
    for layers in options.layers:
        with tempfile.TemporaryDirectory() as name:
            size = make(Path(name), layers)
            peaks = []
            for contender in CONTENDERS:
                command = [sys.executable, __file__, "--one", contender, name]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                peaks.append(f"{float(output.split()[-1]):.0f} MB |")
            print(f"| {layers} | {size:.0f} MB |", *peaks, flush=True)


if __name__ == "__main__":
    main()
