"""What an engine's Trainer does, as lines of a file: written inside the engine, read by the worker."""

import json
import os
import signal

import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainerState, TrainingArguments

from ftsdk.engines.progress import EngineProgress
from ftsdk.engines.recorder import Recorder, _Counter

ROWS = [{"input_ids": [1, 2, 3, 4 + n % 5], "labels": [-100, -100, 3, 4 + n % 5]} for n in range(16)]


class Sends(TrainerCallback):
    """Asks the process to end, in the middle of a training."""

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Trains a model of a few hundred weights, and gives the lines."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def train(*callbacks, **changes):
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=16, num_key_value_heads=1, **sizes))
        model.model.embed_tokens.requires_grad_(False)
        defaults = {"max_steps": 4, "per_device_train_batch_size": 4, "logging_steps": 2, "save_steps": 3}
        arguments = TrainingArguments(
            output_dir="out", use_cpu=True, report_to="none", disable_tqdm=True, **(defaults | changes)
        )
        rows = Dataset.from_list(ROWS)
        Trainer(
            model=model, args=arguments, train_dataset=rows, eval_dataset=rows, callbacks=[Recorder(), *callbacks]
        ).train()
        sizes = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        return [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()], sizes

    yield train
    signal.signal(signal.SIGTERM, before)


def of(lines, key):
    return [line for line in lines if key in line]


def test_what_is_trained(record):
    """The first line has the weights that learn; the values, how many tokens a step taught, and how many carry loss."""
    lines, sizes = record()

    assert {"step": 0, "total": 4, "trainable": sizes} == lines[0]
    assert [(16, 8), (16, 8)] == [
        (line["values"]["tokens_per_step"], line["values"]["labels_per_step"]) for line in of(lines, "values")[:2]
    ]


def test_values_and_checkpoints(record):
    """Trainer's values by their names, with the pace, and every checkpoint."""
    lines, _ = record()
    values = [line for line in of(lines, "values") if "loss" in line["values"]]

    assert [2, 4] == [line["step"] for line in values]
    names = {"loss", "learning_rate", "grad_norm", "epoch", "tokens_per_second", "tokens_per_step", "labels_per_step"}
    assert names == values[0]["values"].keys()
    assert ["checkpoint-3", "checkpoint-4"] == [line["checkpoint"] for line in of(lines, "checkpoint")]


def test_figures_of_the_machine_are_left_out(tmp_path, monkeypatch):
    """What an engine logs of a card's memory is no metric of the training."""
    monkeypatch.chdir(tmp_path)
    logs = {"eval_loss": 1.5, "memory/device_reserved (GiB)": 0.0, "eval_num_tokens": 96}
    Recorder().on_log(None, TrainerState(global_step=1), None, logs=logs)

    assert {"step": 1, "values": {"eval_loss": 1.5}} == json.loads((tmp_path / "record.jsonl").read_text())


def test_evaluation_is_no_training(record):
    """Tokens of held-out rows are none that the model was taught with."""
    lines, _ = record(eval_strategy="steps", eval_steps=1)

    taught = [line["values"]["tokens_per_step"] for line in of(lines, "values") if "loss" in line["values"]]
    assert [16, 16] == taught
    assert 4 == len([line for line in of(lines, "values") if "eval_loss" in line["values"]])


def test_a_stop_request_saves_a_checkpoint(record):
    """The step is finished, a checkpoint saved, and the training ended: nothing is lost."""
    lines, _ = record(Sends())

    assert (3, "checkpoint-3") == (max(line["step"] for line in lines), of(lines, "checkpoint")[-1]["checkpoint"])


def test_a_loss_that_is_no_number(record):
    """It ends the training, and is in the log."""

    class Breaks(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            model.lm_head.weight.data.fill_(float("nan"))

    with pytest.raises(FloatingPointError, match="non-finite at step"):
        record(Breaks())


class Reporter:
    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *defaults: self.calls.append((name, *defaults))


def test_the_worker_reports_each_line_once(tmp_path):
    """Each complete line once; what an earlier attempt wrote was reported then."""
    path = tmp_path / "record.jsonl"
    path.write_text('{"step": 1, "total": 4}\n')
    reporter = Reporter()
    progress = EngineProgress(reporter, tmp_path)
    with path.open("a") as file:
        file.write('{"step": 2, "total": 4, "tokens": 16}\n{"step": 2, "values": {"loss": 1.5}}\n{"step": 2, "chec')
    progress.read_record()
    with path.open("a") as file:
        file.write('kpoint": "checkpoint-2"}\n')
    progress.read_record()

    assert [
        ("progress", 2, 4),
        ("metrics", 2, {"loss": 1.5}),
        ("checkpoint", 2, "checkpoint-2"),
    ] == reporter.calls


def test_tokens_that_are_given_by_their_place():
    """TRL's ORPO calls its model so; they are counted all the same."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=16, num_key_value_heads=1, **sizes)).train()
    counter = _Counter()
    counter.attach(model)
    model(torch.ones(2, 3, dtype=torch.long))

    assert {"tokens": 6} == counter.collect()


def test_what_the_engine_prints_is_the_jobs_log(tmp_path):
    """Its lines are events, too, so that ``ftsdk logs`` shows them; progress bars are none."""
    reporter = Reporter()
    progress = EngineProgress(reporter, tmp_path)
    progress.add_line("ValueError: no such module")
    progress.add_line(" 20%|##        | 2/10 [00:01<00:04,  1.9it/s]")

    assert [("log", "ValueError: no such module")] == reporter.calls
