"""The work of ``sft.py``, and those who do it: run in a process of its own, prints one JSON line.

python benchmarks/sft_contenders.py NAME MODEL_FOLDER VOCABULARY
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from meter import Meter
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

from ftsdk.artifact.model_files import CONFIG
from ftsdk.modeling.batches import Example
from ftsdk.modeling.loading import load_base
from ftsdk.modeling.memory import MOST_TOKENS, MicroBatch
from ftsdk.modeling.objective import Objective, find_route
from ftsdk.modeling.settings import ModelSettings
from ftsdk_local.train.common.adapter import add_adapter
from ftsdk_local.train.common.row_trainer import RowTrainer
from ftsdk_local.translate import QUANTIZATIONS

ROWS, BATCH, LONGEST, LEARNING_RATE, SEED = 64, 8, 512, 1e-4, 42
LORA = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}


def make_model(folder: Path, vocabulary: int) -> None:
    """A random Llama whose head is most of the work at a large vocabulary."""
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
    random = np.random.default_rng(1)
    lengths = np.clip(random.lognormal(4.8, 0.75, ROWS).astype(int), 16, LONGEST)
    return [
        {
            "input_ids": random.integers(5, vocabulary, length).tolist(),
            "completion_mask": [0] * int(length * 0.35) + [1] * (length - int(length * 0.35)),
        }
        for length in lengths
    ]


def result_of(meter: Meter, losses: list[float], tokens: int) -> dict:
    """What a run has cost and learned."""
    return {
        "tokens_per_cpu_second": tokens / meter.cpu_seconds,
        "peak_mb": meter.peak_mb,
        "loss": statistics.mean(losses),
    }


def run_trl(model: str, rows: list[dict], **settings: object) -> dict:
    """TRL as it comes, with changes to its settings."""
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
        arguments = {
            "output_dir": folder,
            "per_device_train_batch_size": BATCH,
            "num_train_epochs": 1,
            "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "constant",
            "max_length": LONGEST,
            "logging_steps": 1,
            "report_to": "none",
            "save_strategy": "no",
            "seed": SEED,
            "use_cpu": True,
            "bf16": False,
            "disable_tqdm": True,
            "completion_only_loss": True,
        }
        trainer = SFTTrainer(
            model=base,
            args=SFTConfig(**{**arguments, **settings}),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(**LORA),
        )
        meter = Meter()

        class Start(TrainerCallback):
            def on_train_begin(self, *_: object, **__: object) -> None:
                meter.start()

        trainer.add_callback(Start())
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return result_of(meter, losses, sum(len(row["input_ids"]) for row in rows))


def run_ftsdk(model: str, rows: list[dict], *, checkpointing: bool = False, dtype: str = "float32") -> dict:
    """The local engine, as its worker runs it."""
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
    adapted = add_adapter(base, LORA)
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
            micro_batch=MicroBatch(MOST_TOKENS["cpu"]),
            warn=print,
        )
        meter = Meter()

        class Start(TrainerCallback):
            def on_train_begin(self, *_: object, **__: object) -> None:
                meter.start()

        trainer.add_callback(Start())
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return result_of(meter, losses, sum(len(row["input_ids"]) for row in rows))


PACKED = {
    "gradient_checkpointing": False,
    "packing": True,
    "packing_strategy": "bfd",
    "per_device_train_batch_size": 2,
}
CONTENDERS = {
    "TRL": (run_trl, {}),
    "TRL, no checkpointing": (run_trl, {"gradient_checkpointing": False}),
    "TRL, best-fit packing": (run_trl, PACKED),
    "ftsdk, checkpointing": (run_ftsdk, {"checkpointing": True}),
    "ftsdk": (run_ftsdk, {}),
}


if __name__ == "__main__":
    name, folder, vocabulary = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if not (Path(folder) / CONFIG).exists():
        make_model(Path(folder), vocabulary)
    contender, settings = CONTENDERS[name]
    print(json.dumps(contender(folder, make_rows(vocabulary), **settings)))
