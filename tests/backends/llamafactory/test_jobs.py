"""The real LLaMA-Factory trains the tiny model on the CPU, in its own environment, on ftsdk's tokens and labels."""

import pytest
from engine_jobs import CHAT, PAIRS, engine_folder_of, finished, metrics, resumed_beside_a_torn_checkpoint, tokens_of
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import ftsdk
from ftsdk.data.row_labels import encode_pair, encode_row
from ftsdk.errors import JobFailed
from ftsdk.job_types import JobState, Reason

pytestmark = [
    pytest.mark.foreign_engine,
    pytest.mark.usefixtures("factory_python"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft reads it by the old name
]


def test_chats_as_every_engine_sees_them(factory_spec, factory_python, tiny_model, ftsdk_home, tmp_path):
    """Tokens and labels of a conversation are the local engine's; the adapter loads in plain PEFT."""
    spec = factory_spec(CHAT * 100, val_size=16, adapter={"r": 4, "alpha": 8})
    artifact = finished(spec, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    rows = tokens_of(factory_python, engine_folder_of(ftsdk_home))
    encoded = [encode_row(row, tokenizer, "assistant") for row in CHAT]
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(spec.model), artifact.path)

    assert 1584 == len(rows)
    assert all((row["input_ids"], row["labels"]) in encoded for row in rows)
    assert 6 == len(metrics(artifact, "loss"))
    assert metrics(artifact, "eval_loss")
    assert "0.9.5" == artifact.manifest.versions["llamafactory"]


def test_pairs_as_every_engine_sees_them(factory_spec, factory_python, tiny_model, ftsdk_home, tmp_path):
    """DPO starts at a loss of log 2, on the local engine's tokens."""
    artifact = finished(factory_spec(PAIRS, method="dpo"), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    first = tokens_of(factory_python, engine_folder_of(ftsdk_home))[0]
    (chosen, labels), (rejected, _) = encode_pair(PAIRS[0], tokenizer)

    assert (chosen, labels, rejected) == (
        first["chosen_input_ids"],
        first["chosen_labels"],
        first["rejected_input_ids"],
    )
    assert pytest.approx(0.6931, abs=1e-3) == metrics(artifact, "loss")[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"compute": {"quantization": "nf4"}},
        {"adapter": {"use_dora": True}},
        {"adapter": None},
        {"method": "orpo"},
    ],
    ids=["qlora", "dora", "full", "orpo"],
)
def test_other_trainings(factory_spec, tmp_path, changes):
    """A 4-bit base, every weight, and ORPO: each leaves an artifact of its kind."""
    rows = PAIRS if "method" in changes else None
    artifact = finished(factory_spec(rows, **changes), tmp_path)

    assert ("model" if "adapter" in changes and changes["adapter"] is None else "adapter") == artifact.kind


def failure(spec):
    with pytest.raises(JobFailed) as caught:
        ftsdk.submit(spec).wait(timeout=300)
    return caught.value


def test_rows_that_teach_nothing(factory_spec):
    """A prompt that fills the length is a data error with its row."""
    rows = [{"prompt": "Why? " * 200, "completion": "Arr"}] * 8
    error = failure(factory_spec(rows))

    assert (Reason.DATA_ERROR.value, True) == (error.reason, "rows 1: no token carries loss" in error.message)


def test_settings_that_it_would_read_otherwise(factory_spec, factory_python, monkeypatch):
    """Its own reading of the configuration is compared with the plan before anything is trained."""
    from ftsdk_llamafactory import translate

    monkeypatch.setitem(translate.DIRECT_FIELDS, "training.max_grad_norm", "max_grad_nrom")
    error = failure(factory_spec())

    assert "max_grad_nrom" in error.message


def test_resume_continues_from_a_complete_checkpoint(factory_spec, ftsdk_home):
    """Cancelled, a job saves its step; resumed, it continues from there, and a torn checkpoint is removed."""
    training = {"max_steps": 400, "global_batch_size": 8, "max_length": 128, "save_steps": 10, "save_total_limit": 5}
    job = resumed_beside_a_torn_checkpoint(factory_spec(training=training), ftsdk_home, step=30)

    assert (JobState.SUCCEEDED, 400) == (job.status.state, job.status.step)
    assert list(range(1, 401)) == job.steps
    assert "is incomplete, and is removed" in job.log
