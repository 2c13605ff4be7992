"""The real AutoTrain trains the tiny model on the CPU, in its own environment; and its failures are recognized."""

import json
import subprocess

import pytest
import torch
from older_model import older_model
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import ftsdk
from ftsdk.engines.bundle import runner_command
from ftsdk.errors import JobCancelled, JobFailed
from ftsdk.job_types import Reason
from ftsdk.workers.diagnosis import read_result
from ftsdk.workers.environment import runner_environment
from ftsdk.workers.outcome import WorkerError
from ftsdk_autotrain.request import RUNNER, write_request

pytestmark = [
    pytest.mark.foreign_engine,
    pytest.mark.usefixtures("autotrain_python"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft asks by the old name
]

PAIRS = [{"prompt": f"What is {n}?", "chosen": "Arr matey!", "rejected": "It is a number."} for n in range(16)]
CHATS = [
    {
        "prompt": [{"role": "user", "content": f"What is {n}?"}],
        "chosen": [{"role": "assistant", "content": "Arr matey!"}],
        "rejected": [{"role": "assistant", "content": "It is a number."}],
    }
    for n in range(16)
]


def finished(spec, tmp_path):
    """The artifact of a job, once it has ended."""
    job = ftsdk.submit(spec)
    job.wait(timeout=300)
    return ftsdk.fetch(job, tmp_path / "out")


def metrics(artifact, name):
    rows = [json.loads(line) for line in (artifact.path / "metrics.jsonl").read_text().splitlines()]
    return [row[name] for row in rows if name in row]


def test_sft(autotrain_spec, tmp_path):
    """A LoRA by SFT: losses at each step, and an adapter that loads on its base in plain PEFT."""
    spec = autotrain_spec(adapter={"r": 4, "alpha": 8})
    artifact = finished(spec, tmp_path)

    base = AutoModelForCausalLM.from_pretrained(spec.model)
    loaded = PeftModel.from_pretrained(base, artifact.path)

    assert ("adapter", "sft", "0.8.36") == (
        artifact.kind,
        artifact.manifest.method,
        artifact.manifest.versions["autotrain-advanced"],
    )
    assert (4, 8) == (loaded.peft_config["default"].r, loaded.peft_config["default"].lora_alpha)
    assert 4 == len(metrics(artifact, "loss"))


def test_every_weight(autotrain_spec, tmp_path):
    """Without an adapter, the artifact is a model, and its weights have changed."""
    spec = autotrain_spec(adapter=None, training={"num_train_epochs": 1, "global_batch_size": 4, "max_length": 64})
    artifact = finished(spec, tmp_path)

    before = AutoModelForCausalLM.from_pretrained(spec.model, dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(artifact.path, dtype=torch.float32)

    assert "model" == artifact.kind
    assert not torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)


@pytest.mark.parametrize("rows", [PAIRS, CHATS], ids=["texts", "chats"])
def test_dpo(autotrain_spec, tmp_path, rows):
    """Pairs of texts and of conversations; the loss begins where a policy that equals its reference must."""
    artifact = finished(autotrain_spec(rows, method="dpo"), tmp_path)

    assert metrics(artifact, "loss")[0] == pytest.approx(0.6931, abs=1e-3)
    assert "rewards_margins" in artifact.manifest.metrics


def test_reward_model(autotrain_spec, tmp_path):
    """A reward model loads as one: a LoRA with a head that returns one number."""
    spec = autotrain_spec(CHATS, method="reward_modeling")
    artifact = finished(spec, tmp_path)

    base = AutoModelForSequenceClassification.from_pretrained(spec.model, num_labels=1)
    loaded = PeftModel.from_pretrained(base, artifact.path)

    head = loaded.base_model.model.score.modules_to_save["default"].weight
    assert (1, base.config.hidden_size) == head.shape


def test_a_padded_vocabulary(autotrain_spec, tiny_model, tmp_path):
    """AutoTrain cuts embeddings that are longer than the tokenizer, and saves them; the artifact loads all the same."""
    model = older_model(tiny_model, tmp_path / "padded", rows=1600)
    spec = autotrain_spec(model=str(model))
    job = ftsdk.submit(spec)
    job.wait(timeout=300)
    artifact = ftsdk.fetch(job, tmp_path / "out")

    base = AutoModelForCausalLM.from_pretrained(model)
    PeftModel.from_pretrained(base, artifact.path)

    assert 1600 == base.get_input_embeddings().weight.shape[0]
    assert any("untrained" in event.message or "removed" in event.message for event in job.events())


def test_the_template_that_was_trained_is_in_the_artifact(autotrain_spec, tmp_path):
    """The chat template of the spec renders the rows, and the artifact has the same one."""
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ eos_token }}"
    rows = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Arr " * 9}]}] * 64
    (tmp_path / "template.jinja").write_text(template)
    changes = {"chat_template": str(tmp_path / "template.jinja")}
    spec = autotrain_spec(rows)
    spec = spec.model_copy(update={"dataset": spec.dataset.model_copy(update=changes)})
    artifact = finished(spec, tmp_path)

    assert template == AutoTokenizer.from_pretrained(artifact.path).chat_template


def failure(spec):
    with pytest.raises(JobFailed) as caught:
        ftsdk.submit(spec).wait(timeout=300)
    return caught.value


def test_too_few_rows(autotrain_spec):
    """Rows that fill no block train nothing, and AutoTrain exits with 0: the job has failed, with its reason."""
    failed = failure(autotrain_spec([{"text": "Arr"}] * 4))

    assert ("data_error", True) == (failed.reason, "packing the dataset" in str(failed))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("params", "quantization", "int4"), (Reason.ENGINE_ERROR, "CUDA")),
        (("data", "column_mapping", {"text_column": "nope"}), (Reason.DATA_ERROR, "nope")),
        (("params", "lerning_rate", 1e-3), (Reason.ENGINE_ERROR, "lerning_rate")),
    ],
    ids=["quantization without a card", "a column that is not there", "a misspelt parameter"],
)
def test_its_exit_status_is_not_trusted(autotrain_spec, autotrain_python, tmp_path, change, expected):
    """AutoTrain fails, or trains with other values than requested, and exits with 0; the runner exits with 1."""
    (section, name, value), (reason, evidence) = change, expected
    plan = ftsdk.plan(autotrain_spec()).model_copy(deep=True)
    plan.native["config"][section][name] = value
    folder = write_request(tmp_path / "engine", plan, tmp_path / "cache")

    command, env = runner_command(autotrain_python, RUNNER), runner_environment(autotrain_python, (), {})
    process = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True, check=False
    )
    with pytest.raises(WorkerError) as caught:
        read_result(folder, "AutoTrain", process.returncode, process.stdout.splitlines(), "autotrain:sft-1")

    assert (1, reason) == (process.returncode, caught.value.reason)
    assert evidence in caught.value.message


def test_a_tokenizer_that_stops_early(autotrain_spec):
    """AutoTrain would cut rows at the tokenizer's limit in silence; that is refused, before the training."""
    failed = failure(autotrain_spec(training={"num_train_epochs": 1, "max_length": 4096}))

    assert ("data_error", True) == (failed.reason, "stops at 1024 tokens" in str(failed))


def test_cancel(autotrain_spec):
    """A cancelled job ends, with all processes of AutoTrain."""
    job = ftsdk.submit(autotrain_spec(training={"num_train_epochs": 500, "global_batch_size": 1, "max_length": 64}))
    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait(timeout=120)
