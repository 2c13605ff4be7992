"""The work of ``memory.py``: two steps of the local engine, run in a process of its own; prints bytes.

python benchmarks/memory_step.py MODEL QUANTIZATION COMPUTED CHECKPOINTING TOKENS RANK
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM, TrainingArguments, set_seed

from ftsdk.modeling.batches import Example
from ftsdk.modeling.loading import load_base
from ftsdk.modeling.memory import MicroBatch
from ftsdk.modeling.objective import Objective, find_route
from ftsdk.modeling.settings import ModelSettings
from ftsdk_local.train.common.adapter import add_adapter
from ftsdk_local.train.common.row_trainer import RowTrainer
from ftsdk_local.translate import QUANTIZATIONS

MODELS = json.loads(Path(__file__).with_name("models.json").read_text("utf-8"))


def main(arguments: Sequence[str]) -> None:
    """Train a random model for two steps of two micro-batches, and print the bytes at the peak."""
    name, quantization, computed, checkpointing, tokens, rank = arguments
    set_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        config = MODELS[name]
        AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).save_pretrained(folder)
        base = load_base(_settings(folder, quantization, computed), torch.device("cpu"), trains=rank == "0")
        model = add_adapter(base, None if rank == "0" else _lora(int(rank)))
        rows = torch.randint(5, config["vocab_size"], (4, int(tokens))).int().numpy()
        examples = [[Example(row, row)] for row in rows]
        checkpoint_activations = checkpointing == "yes"
        trainer = RowTrainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=2,
                num_train_epochs=1,
                optim="adamw_torch_fused",
                report_to="none",
                save_strategy="no",
                use_cpu=True,
                bf16=computed == "mixed",
                disable_tqdm=True,
                gradient_checkpointing=checkpoint_activations,
                gradient_checkpointing_kwargs={"use_reentrant": False} if checkpoint_activations else None,
                remove_unused_columns=False,
            ),
            train_dataset=examples,
            objective=Objective(base, find_route(base, [example[0] for example in examples])),
            micro_batch=MicroBatch(int(tokens)),
            warn=print,
        )
        print(model_bytes(model) + peak_bytes(trainer.train))


def _settings(folder: str, quantization: str, computed: str) -> ModelSettings:
    options: dict[str, Any] | None = dict(QUANTIZATIONS[quantization]) if quantization else None
    if options and "load_in_4bit" in options:
        options["bnb_4bit_use_double_quant"] = True
    return ModelSettings(
        name=folder,
        revision=None,
        dtype="bfloat16" if computed == "mixed" else computed,
        quantization=options,
        attention="auto",
        trust_remote_code=False,
    )


def _lora(rank: int) -> dict[str, Any]:
    return {"r": rank, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}


def model_bytes(model: torch.nn.Module) -> int:
    """Bytes of all that the model's layers hold, with the scales of quantized weights."""
    storages = [tensor.untyped_storage() for tensor in _tensors(model)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _tensors(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    for tensor in (*model.parameters(), *model.buffers()):
        state = getattr(tensor, "quant_state", None)
        yield tensor
        yield from (
            part
            for where in (state, getattr(state, "state2", None), tensor)
            for name in ("absmax", "code", "offset", "SCB")
            if isinstance(part := getattr(where, name, None), torch.Tensor)
        )


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most bytes that PyTorch's allocator has given out at one time while the work was done."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work()
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


if __name__ == "__main__":
    main(sys.argv[1:])
