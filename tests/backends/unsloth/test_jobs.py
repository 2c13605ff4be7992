"""The real Unsloth trains the tiny model on the CPU, in its own environment, on ftsdk's tokens and labels."""

import json

import pytest
from engine_jobs import (
    CHAT,
    PAIRS,
    UNPAIRED,
    engine_folder_of,
    finished,
    metrics,
    resumed_beside_a_torn_checkpoint,
    tokens_of,
)
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import ftsdk
from ftsdk.data.row_labels import encode_pair, encode_row
from ftsdk.errors import JobFailed
from ftsdk.job_types import JobState, Reason

pytestmark = [
    pytest.mark.foreign_engine,
    pytest.mark.usefixtures("unsloth_python"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft reads it by the old name
]


def test_chats_as_every_engine_sees_them(unsloth_spec, unsloth_python, tiny_model, ftsdk_home, tmp_path):
    """Tokens and labels of a conversation are the local engine's; the adapter loads in plain PEFT."""
    spec = unsloth_spec(CHAT * 10, val_size=16, adapter={"r": 4, "alpha": 8})
    artifact = finished(spec, tmp_path)
    engine_folder = engine_folder_of(ftsdk_home)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = tokens_of(unsloth_python, engine_folder)
    encoded = [encode_row(row, tokenizer, "assistant") for row in CHAT]
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(spec.model), artifact.path)

    assert 144 == len(rows)
    assert all((row["input_ids"], row["labels"]) in encoded for row in rows)
    assert {8 * sum(label >= 0 for label in encoded[0][1])} == set(metrics(artifact, "labels_per_step"))
    assert 6 == len(metrics(artifact, "loss"))
    assert metrics(artifact, "eval_loss")
    assert "2026.10.9" == artifact.manifest.versions["unsloth"]


def test_pairs_as_every_engine_sees_them(unsloth_spec, unsloth_python, tiny_model, ftsdk_home, tmp_path):
    """DPO starts at a loss of log 2, on the local engine's tokens; the reference's copy is no part of the artifact."""
    artifact = finished(unsloth_spec(PAIRS, method="dpo"), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    first = tokens_of(unsloth_python, engine_folder_of(ftsdk_home))[0]
    (chosen, labels), (rejected, _) = encode_pair(PAIRS[0], tokenizer)

    assert (chosen, labels, rejected) == (
        first["chosen_input_ids"],
        first["chosen_labels"],
        first["rejected_input_ids"],
    )
    assert pytest.approx(0.6931, abs=1e-4) == metrics(artifact, "loss")[0]
    assert [] == [path for path in artifact.path.iterdir() if path.is_dir()]


def test_kto_starts_where_nothing_is_preferred(unsloth_spec, tmp_path):
    """Its first loss is a half: the policy is the reference, and their difference is 0."""
    artifact = finished(unsloth_spec(UNPAIRED, method="kto"), tmp_path)

    assert pytest.approx(0.5, abs=1e-6) == metrics(artifact, "loss")[0]
    assert 0.5 != metrics(artifact, "loss")[-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"compute": {"quantization": "nf4"}},
        {"adapter": {"use_dora": True, "use_rslora": True, "init": "gaussian", "dropout": 0.1}},
        {"adapter": None},
        {"method": "orpo"},
    ],
    ids=["qlora", "dora", "full", "orpo"],
)
def test_other_trainings(unsloth_spec, tmp_path, changes):
    """A 4-bit base, DoRA, every weight, and ORPO: each leaves an artifact of its kind, whose last loss is lower."""
    rows = PAIRS if "method" in changes else None
    training = {"max_steps": 6, "global_batch_size": 8, "max_length": 128, "learning_rate": 1e-3}
    artifact = finished(unsloth_spec(rows, training=training, **changes), tmp_path)
    losses = metrics(artifact, "loss")

    assert ("model" if "adapter" in changes and changes["adapter"] is None else "adapter") == artifact.kind
    assert losses[-1] < losses[0]
    assert 6 == len(metrics(artifact, "tokens_per_second"))


def test_a_reward_model_for_ppo(unsloth_spec, tiny_model, tmp_path):
    """A reward model on 4 bits starts at log 2, learns on after evaluations, and is the reward of a local PPO job."""
    training = {"max_steps": 6, "global_batch_size": 8, "max_length": 128, "learning_rate": 1e-3, "eval_steps": 1}
    changes = {"method": "reward_modeling", "val_size": 4, "compute": {"quantization": "nf4"}}
    artifact = finished(unsloth_spec(PAIRS, training=training, **changes), tmp_path)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in PAIRS), encoding="utf-8")
    job = ftsdk.submit(
        ftsdk.JobSpec(
            model=str(tiny_model),
            dataset=str(prompts),
            method={"type": "ppo", "reward": str(artifact.path), "max_new_tokens": 4},
            training={"max_steps": 1, "global_batch_size": 4, "max_length": 64},
        )
    )

    assert pytest.approx(0.6931, abs=1e-4) == metrics(artifact, "loss")[0]
    assert metrics(artifact, "eval_loss")[-1] < 0.9 * metrics(artifact, "eval_loss")[2]
    assert JobState.SUCCEEDED == job.wait(timeout=300).state


def failure(spec):
    with pytest.raises(JobFailed) as caught:
        ftsdk.submit(spec).wait(timeout=400)
    return caught.value


def test_rows_that_teach_nothing(unsloth_spec):
    """A prompt that fills the length is a data error with its row."""
    rows = [{"prompt": "Why? " * 200, "completion": "Arr"}] * 8
    error = failure(unsloth_spec(rows))

    assert (Reason.DATA_ERROR.value, True) == (error.reason, "rows 1: no token carries loss" in error.message)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("DIRECT_FIELDS", {"training.max_grad_norm": "max_grad_nrom"}, "max_grad_nrom"),
        ("ON_CPU", {"adamw_torch": "paged_adamw_8bit"}, "optim=<OptimizerNames.ADAMW_TORCH_FUSED"),
        ("QUANTIZATIONS", {"nf4": "load_in_8bit", "int8": "load_in_4bit"}, "load_in_8bit=False instead of True"),
    ],
    ids=["unknown", "changed", "another-base"],
)
def test_settings_that_it_would_change(unsloth_spec, monkeypatch, table, change, message):
    """What it does not know, or changes in silence, ends the job before anything is trained, with the name."""
    from ftsdk_unsloth import translate

    for name, value in change.items():
        monkeypatch.setitem(getattr(translate, table), name, value)
    error = failure(unsloth_spec(compute={"quantization": "nf4"}))

    assert message in error.message


def test_lengths_that_it_would_stretch(unsloth_spec, monkeypatch):
    """Where no plan could read a model's config, the job refuses rows longer than its positions, unstretched."""
    from ftsdk_unsloth import translate

    monkeypatch.setattr(translate, "max_positions", lambda *_: None)
    error = failure(unsloth_spec(training={"max_steps": 1, "max_length": 2048}))

    assert "training.max_length is 2048, and the model has 1024 positions" in error.message


def test_too_large_for_the_memory(unsloth_spec, unsloth_python, tmp_path):
    """A step that asks for more memory than there is fails for lack of memory, and its hint is what helps."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -v 5000000\nexec {unsloth_python} "$@"\n', encoding="utf-8")  # KiB
    python.chmod(0o755)
    rows = [{"prompt": "What is one?", "completion": "Arr! " * 1000}] * 256
    compute = {"per_device_train_batch_size": 256, "gradient_checkpointing": False}
    training = {"max_steps": 1, "global_batch_size": 256, "max_length": 1024}
    options = {"unsloth": {"python": str(python)}}
    error = failure(unsloth_spec(rows, training=training, compute=compute, backend_options=options))

    assert (Reason.OOM.value, True) == (error.reason, "compute.quantization" in error.hint)


def test_early_stopping_keeps_the_best(unsloth_spec, tmp_path):
    """Where the held-out loss gets no better by far, training ends, and the best weights are kept."""
    stop = {"early_stopping_patience": 2, "early_stopping_threshold": 50, "eval_steps": 2}
    training = {"max_steps": 40, "global_batch_size": 8, "max_length": 128, **stop}
    artifact = finished(unsloth_spec(val_size=8, training=training), tmp_path)

    assert 3 == len(metrics(artifact, "eval_loss"))
    assert 6 == len(metrics(artifact, "loss"))


def test_resume_continues_from_a_complete_checkpoint(unsloth_spec, ftsdk_home):
    """Cancelled, a job saves its step; resumed, it continues from there, and a torn checkpoint is removed."""
    training = {"max_steps": 120, "global_batch_size": 8, "max_length": 128, "save_steps": 100}
    job = resumed_beside_a_torn_checkpoint(unsloth_spec(training=training), ftsdk_home, step=5)

    assert 5 <= job.last_checkpoint < 100
    assert list(range(1, 121)) == job.steps
    assert (JobState.SUCCEEDED, 120) == (job.status.state, job.status.step)
    assert "is incomplete, and is removed" in job.log
