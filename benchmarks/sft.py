"""QLoRA SFT on the CPU: plain TRL, TRL's best settings and ftsdk, side by side on the same model, rows and tokens.

    python benchmarks/sft.py [--rounds 3] [--vocabulary 32000]

Each contender runs in a process of its own, in turn, one thread each. Printed are medians over the rounds, as ratios to
plain TRL: tokens per CPU-second in training, and the peak of memory above what was held before training. The work is a
random Llama (hidden 256, 4 layers), an nf4 base, LoRA r 16 on every linear layer, 64 rows with the length spread of
Alpaca, batch 8, one epoch.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROWS, BATCH, LONGEST, LEARNING_RATE, SEED = 64, 8, 512, 1e-4, 42


def make_model(folder: Path, vocabulary: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def make_rows(vocabulary: int) -> list[dict]:
    """Random tokens; lengths are log-normal around 120, and the first third of a row is its prompt."""
    import numpy as np

    random = np.random.default_rng(1)
    lengths = np.clip(random.lognormal(4.8, 0.75, ROWS).astype(int), 16, LONGEST)
    return [
        {
            "input_ids": random.integers(5, vocabulary, length).tolist(),
            "completion_mask": [0] * int(length * 0.35) + [1] * (length - int(length * 0.35)),
        }
        for length in lengths
    ]


class Meter:
    """CPU seconds and the peak of memory, from the first step on."""

    def __init__(self) -> None:
        import psutil

        self.process = psutil.Process()
        self.base = self.peak = self.process.memory_info().rss
        self.done = False
        self.began = 0.0
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        while not self.done:
            self.peak = max(self.peak, self.process.memory_info().rss)
            time.sleep(0.004)

    def start(self) -> None:
        self.began = time.process_time()

    def stop(self, losses: list[float], tokens: int) -> dict:
        seconds, self.done = time.process_time() - self.began, True
        return {
            "tokens_per_cpu_second": tokens / seconds,
            "peak_mb": (self.peak - self.base) / 2**20,
            "loss": statistics.mean(losses),
        }


def run_trl(model: str, rows: list[dict], **settings: object) -> dict:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedTokenizerFast, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    base = AutoModelForCausalLM.from_pretrained(model, quantization_config=quantization, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = dict(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            max_length=LONGEST,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            seed=SEED,
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            completion_only_loss=True,
        )
        trainer = SFTTrainer(
            model=base,
            args=SFTConfig(**{**arguments, **settings}),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        meter = Meter()

        class Start(TrainerCallback):
            def on_train_begin(self, *_: object, **__: object) -> None:
                meter.start()

        trainer.add_callback(Start())
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return meter.stop(losses, sum(len(row["input_ids"]) for row in rows))


def run_ftsdk(model: str, rows: list[dict], *, checkpointing: bool = False, dtype: str = "float32") -> dict:
    import numpy as np
    import torch
    from transformers import TrainerCallback, TrainingArguments, set_seed

    from ftsdk_local.engine.batches import Example
    from ftsdk_local.engine.memory import MicroBatch
    from ftsdk_local.engine.model import add_adapter, load_base
    from ftsdk_local.engine.objective import Objective, find_route
    from ftsdk_local.engine.sft import MOST_TOKENS
    from ftsdk_local.engine.trainer import RowTrainer
    from ftsdk_local.settings import ModelSettings
    from ftsdk_local.translate import QUANTIZATIONS

    set_seed(SEED)
    settings = ModelSettings(
        name=model,
        revision=None,
        dtype=dtype,
        quantization={**QUANTIZATIONS["nf4"], "bnb_4bit_use_double_quant": True},
        attention="auto",
        trust_remote_code=False,
    )
    base = load_base(settings, torch.device("cpu"), trains=False)
    lora = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    adapted = add_adapter(base, lora)
    examples = []
    for row in rows:
        ids, mask = np.array(row["input_ids"], dtype=np.int32), np.array(row["completion_mask"], dtype=bool)
        examples.append([Example(ids, np.where(mask, ids, np.int32(-100)))])
    with tempfile.TemporaryDirectory() as folder:
        trainer = RowTrainer(
            model=adapted,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                num_train_epochs=1,
                learning_rate=LEARNING_RATE,
                lr_scheduler_type="constant",
                optim="adamw_torch_fused",
                logging_steps=1,
                report_to="none",
                save_strategy="no",
                seed=SEED,
                use_cpu=True,
                disable_tqdm=True,
                gradient_checkpointing=checkpointing,
                gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
                remove_unused_columns=False,
            ),
            train_dataset=examples,
            objective=Objective(base, find_route(base, [example[0] for example in examples])),
            micro_batch=MicroBatch(int(os.environ.get("TOKENS", MOST_TOKENS["cpu"]))),
            warn=print,
        )
        meter = Meter()

        class Start(TrainerCallback):
            def on_train_begin(self, *_: object, **__: object) -> None:
                meter.start()

        trainer.add_callback(Start())
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return meter.stop(losses, sum(len(row["input_ids"]) for row in rows))


CONTENDERS = {
    "TRL": lambda model, rows: run_trl(model, rows),
    "TRL, no checkpointing": lambda model, rows: run_trl(model, rows, gradient_checkpointing=False),
    "TRL, best-fit packing": lambda model, rows: run_trl(
        model, rows, gradient_checkpointing=False, packing=True, packing_strategy="bfd", per_device_train_batch_size=2
    ),
    "ftsdk, checkpointing": lambda model, rows: run_ftsdk(model, rows, checkpointing=True),
    "ftsdk": lambda model, rows: run_ftsdk(model, rows),
}


def in_own_process(name: str, folder: str, vocabulary: int) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--one", name, "--folder", folder, "--vocabulary", str(vocabulary)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        result = CONTENDERS[options.one](options.folder, make_rows(options.vocabulary))
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), options.vocabulary)
        results: dict[str, list[dict]] = {name: [] for name in options.only}
        for _ in range(options.rounds):
            for name in options.only:
                results[name].append(in_own_process(name, folder, options.vocabulary))
    report(results, options.vocabulary)


def report(results: dict[str, list[dict]], vocabulary: int) -> None:
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in results.items()
    }
    first = next(iter(medians.values()))
    print(f"vocabulary {vocabulary}, {ROWS} rows, batch {BATCH}, medians of {len(next(iter(results.values())))} rounds")
    print(f"{'':24} {'tokens/cpu-s':>13} {'ratio':>7} {'peak MB':>9} {'ratio':>7} {'loss':>9}")
    for name, run in medians.items():
        print(
            f"{name:24} {run['tokens_per_cpu_second']:13.0f} "
            f"{run['tokens_per_cpu_second'] / first['tokens_per_cpu_second']:7.2f} {run['peak_mb']:9.0f} "
            f"{run['peak_mb'] / first['peak_mb']:7.2f} {run['loss']:9.4f}"
        )


if __name__ == "__main__":
    main()
