"""Bases, adapters and trainings to start from."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from in_process import trained
from peft import LoraConfig, get_peft_model
from tiny_models import TINY
from torch_fixtures import one_thread  # noqa: F401 - a fixture
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from ftsdk import JobSpec

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


@pytest.fixture
def base(tmp_path, tiny_model) -> Callable[..., Path]:
    """Makes a base: the tiny model, or a random one of an architecture, in a precision, in one file or several."""

    def make(architecture: str | None = None, *, dtype=torch.float32, shards: str = "1GB", **config) -> Path:
        folder = tmp_path / "base"
        if architecture is None:
            model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype)
        else:
            torch.manual_seed(0)
            settings = getattr(transformers, f"{architecture}Config")(**{**TINY, "vocab_size": 1536, **config})
            model = AutoModelForCausalLM.from_config(settings).to(dtype)
        model.save_pretrained(folder, max_shard_size=shards)
        for name in TOKENIZER:
            shutil.copyfile(tiny_model / name, folder / name)
        return folder

    return make


@pytest.fixture
def adapter(tmp_path) -> Callable[..., Path]:
    """Makes an adapter on a base, with random numbers in place of trained ones, as PEFT saves it."""

    def make(base: Path, *, scores: bool = False, **lora: Any) -> Path:
        folder = tmp_path / "adapter"
        auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
        options = {"num_labels": 1} if scores else {}
        task = "SEQ_CLS" if scores else "CAUSAL_LM"
        model = auto.from_pretrained(base, dtype=torch.float32, **options)
        settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **lora}
        tuned = get_peft_model(model, LoraConfig(task_type=task, **settings))
        torch.manual_seed(1)
        for name, parameter in tuned.named_parameters():
            if parameter.requires_grad:
                scale = 0.2 if "score" in name else 0.05
                parameter.data += scale * torch.randn_like(parameter)
        tuned.save_pretrained(folder)
        AutoTokenizer.from_pretrained(base).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def train(tmp_path, tiny_model) -> Callable[..., Path]:
    """Trains the tiny model in this process, with changes to the spec; gives the artifact's folder."""

    def go(**changes: Any) -> Path:
        rows = [{"prompt": f"What is {n}?", "completion": f"Arr, it be {n}!"} for n in range(32)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = {
            "model": str(tiny_model),
            "dataset": str(tmp_path / "rows.jsonl"),
            "training": {"max_steps": 4, "global_batch_size": 8, "learning_rate": 5e-3},
            "compute": {"quantization": "nf4"},
            **changes,
        }
        return trained(JobSpec.model_validate(settings), tmp_path / "job")

    return go


@pytest.fixture
def killed() -> Callable[..., bool]:
    """Does something in a process of its own, and kills that with -9; returns whether it came too late."""

    def go(work: Callable[[], object], after: float) -> bool:
        child = os.fork()
        if not child:
            try:
                work()
                os._exit(0)
            finally:
                os._exit(1)
        signal.setitimer(signal.ITIMER_REAL, after)
        before = signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        try:
            _, status = os.waitpid(child, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "the work failed by itself"
        return os.WIFEXITED(status)

    return go
