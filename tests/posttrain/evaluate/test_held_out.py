"""The loss on held-out rows: an evaluation measures what the trainer measured, on the same rows."""

import math

import pytest
import torch
from preference_rows import unpaired, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftsdk.artifact import MANIFEST, Artifact, EvaluationSettings, Manifest, seal
from ftsdk.errors import ArtifactError, DataError, InputError, MissingExtra
from ftsdk.files import sha256
from ftsdk.posttrain.held_out_rows import rows_of, spec_of

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("evaluate")]


def columns(evaluation):
    """From each metric to its numbers for base and artifact."""
    return {metric.metric: (metric.base, metric.artifact) for metric in evaluation.held_out.metrics}


@pytest.mark.numeric
@pytest.mark.parametrize("kind", ["lora", "nf4", "pissa", "second", "reward_modeling", "dpo"])
def test_the_loss_is_the_trainers(job_of, kind):
    """On the job's held-out rows, base and artifact have the losses that its trainer reported, before and after."""
    artifact = job_of(kind).artifact
    reported = artifact.manifest.metrics

    measured = columns(artifact.evaluate(samples=0))

    losses = (reported["eval_loss_before"], reported["eval_loss"])
    assert losses == pytest.approx(measured["loss"], abs=1e-4)


@pytest.mark.numeric
def test_the_loss_of_a_whole_model(job_of):
    """A whole model is saved in the precision of its base, bfloat16, and the saved weights are measured."""
    artifact = job_of("whole").artifact
    reported = artifact.manifest.metrics

    base, tuned = columns(artifact.evaluate(samples=0))["loss"]

    assert reported["eval_loss_before"] == pytest.approx(base, abs=1e-4)
    assert reported["eval_loss"] == pytest.approx(tuned, abs=1e-2)  # saved in bfloat16, which moves the loss by 2e-3


def test_perplexity(job_of):
    """Perplexity is the exponential of the mean loss of a token; the tokens that carry loss are counted."""
    held_out = job_of("lora").artifact.evaluate(samples=0).held_out
    loss, perplexity = held_out.metrics

    assert (math.exp(loss.base), math.exp(loss.artifact)) == (perplexity.base, perplexity.artifact)
    assert ("job", 6) == (held_out.origin, held_out.rows)
    assert 6 * len("Arr,") < held_out.tokens


def test_a_reward_model_prefers_the_better_answer(job_of):
    """A base without a trained head can only guess; the accuracy of the artifact is the trainer's."""
    artifact = job_of("reward_modeling").artifact

    metrics = columns(artifact.evaluate())

    assert (0.5, pytest.approx(artifact.manifest.metrics["eval_accuracy"])) == metrics["accuracy"]


def test_implicit_rewards(job_of):
    """Of an artifact of DPO, the better answer must have gained more probability than the worse one."""
    metrics = columns(job_of("dpo").artifact.evaluate(samples=0))

    base, tuned = metrics["accuracy"]
    assert (0.5, 0.0, math.log(2)) == (base, metrics["margin"][0], pytest.approx(metrics["loss"][0]))
    assert 0.5 < tuned <= 1.0
    assert metrics["margin"][1] > 0


def test_given_rows_by_hand(job_of, tmp_path):
    """The loss of a given row is the mean, over the answer's tokens, by plain Transformers' logits."""
    artifact = job_of("whole").artifact
    prompt = [{"role": "user", "content": "What is 99?"}]
    answer = [{"role": "assistant", "content": "Arr, it be 99, matey!"}]
    rows = write_rows(tmp_path / "held.jsonl", [{"messages": [*prompt, *answer]}])
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    text = tokenizer.apply_chat_template([*prompt, *answer], tokenize=False).rstrip("\n")
    prompt_text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    ids, before = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (text, prompt_text))
    model = AutoModelForCausalLM.from_pretrained(artifact.path, dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, len(before) - 1 : -1]
    by_hand = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[len(before) :])).item()

    evaluation = artifact.evaluate(dataset=rows, samples=0)

    assert by_hand == pytest.approx(columns(evaluation)["loss"][1], abs=1e-4)
    assert ("dataset", {rows: sha256(tmp_path / "held.jsonl")}) == (
        evaluation.held_out.origin,
        evaluation.held_out.files,
    )


def test_limit(job_of):
    """With a limit, only the first held-out rows are measured."""
    assert 2 == job_of("lora").artifact.evaluate(limit=2, samples=0).held_out.rows


def test_it_can_be_asked_again(job_of):
    """Two evaluations are equal and leave the artifact unchanged: after a broken one, another is enough."""
    artifact = job_of("lora").artifact
    before = sorted(path.name for path in artifact.path.iterdir())

    first, second = (artifact.evaluate().model_dump(exclude={"created"}) for _ in range(2))

    assert first == second
    assert before == sorted(path.name for path in artifact.path.iterdir())
    artifact.verify()


def test_samples_side_by_side(job_of):
    """The artifact's answer is the one that ``generate`` returns; the row's own answer stands beside it."""
    artifact = job_of("lora").artifact

    samples = artifact.evaluate(samples=2, limit=3, max_new_tokens=8).samples

    assert 2 == len(samples)
    for sample in samples:
        number = sample.prompt[-1]["content"].removeprefix("What is ").rstrip("?")
        assert f"Arr, it be {number}, matey!" == sample.expected
        (alone,) = artifact.generate([sample.prompt], max_new_tokens=8)
        assert alone == sample.artifact


def test_changed_rows_are_refused(job_of):
    """Held-out rows of a changed file may have been trained on: it is refused until the original is back."""
    artifact, rows = job_of("lora")
    original = rows.read_text("utf-8")
    rows.write_text(original.replace("Arr", "Ahoy"), "utf-8")

    try:
        with pytest.raises(DataError, match="has changed since the job read it") as caught:
            artifact.evaluate()
    finally:
        rows.write_text(original, "utf-8")

    assert "--dataset" in caught.value.hint
    assert artifact.evaluate(samples=0).held_out.rows == 6


def test_lost_rows_are_refused(job_of):
    """A missing file is an error with its name, and with what to give instead."""
    artifact, rows = job_of("lora")
    rows.rename(rows.with_suffix(".away"))

    try:
        with pytest.raises(DataError, match=rf"{rows.name}.*is not on this machine") as caught:
            artifact.evaluate()
    finally:
        rows.with_suffix(".away").rename(rows)

    assert "--dataset" in caught.value.hint


def test_a_hosted_result(copied, job_of, tiny_model):
    """Another backend's artifact is measured alike; its manifest names no rows, so they are given."""
    folder = copied("lora").path
    (folder / MANIFEST).unlink()
    plan = {"model": "tiny/model", "n_epochs": 1}  # another system's field of this name
    seal(folder, Manifest(kind="adapter", base_model=str(tiny_model), method="sft", plan=plan, job="together:ft-1"))
    hosted, rows = Artifact.open(folder), job_of("lora").rows

    with pytest.raises(InputError, match="nothing to evaluate"):
        hosted.evaluate()

    local_evaluation = job_of("lora").artifact.evaluate(dataset=rows, samples=0)
    assert columns(local_evaluation) == columns(hosted.evaluate(dataset=rows, samples=0))


def test_another_systems_data_field_is_no_dataset(tmp_path):
    """What another backend's plan holds under ``data`` may have other keys: then the spec names the dataset."""
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": f"{n}?", "completion": f"{n}!"} for n in range(8)])
    manifest = Manifest(
        kind="adapter",
        base_model="org/tiny",
        method="sft",
        spec={"model": "org/tiny", "dataset": rows, "val_size": 0.25},
        plan={"data": {"dataset": {"file_id": 7}}},
        data={rows: sha256(tmp_path / "rows.jsonl")},
    )

    assert 2 == len(rows_of(manifest, spec_of(manifest), EvaluationSettings()).rows)


def test_chats_need_a_chat_template(copied):
    """Another backend's artifact may have no template: rows of messages are refused then, before a model is loaded."""
    artifact = copied("lora")
    (artifact.path / "chat_template.jinja").unlink()
    bare = seal(artifact.path, artifact.manifest.model_copy(update={"chat_template": ""}))

    with pytest.raises(InputError, match="has no chat template"):
        bare.evaluate(samples=0)


def test_no_code_of_a_model_runs(copied, monkeypatch):
    """Whatever a manifest says, a model's own code is never run by an evaluation."""
    from ftsdk.posttrain import base_and_tuned

    artifact = copied("lora")
    manifest = artifact.manifest
    plan = {**manifest.plan, "model": {**manifest.plan["model"], "trust_remote_code": True}}
    sealed = seal(artifact.path, manifest.model_copy(update={"plan": plan}))

    assert not base_and_tuned.base_settings(sealed.path, sealed.manifest).trust_remote_code


def test_a_merged_model(copied):
    """A model that stands alone is measured as it is saved, and its base beside it, though it was trained in 4 bits."""
    artifact = copied("whole")
    plan = {**artifact.manifest.plan}
    plan["model"] = {**plan["model"], "quantization": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}}
    merged = seal(artifact.path, artifact.manifest.model_copy(update={"plan": plan}))

    evaluation = merged.evaluate(samples=0)

    assert "" == evaluation.quantization
    assert artifact.manifest.metrics["eval_loss_before"] == pytest.approx(columns(evaluation)["loss"][0], abs=1e-4)


def test_a_method_without_a_held_out_loss(copied, tmp_path):
    """KTO and its like have no loss that measures how good a model is, and the error says so; given rows have one."""
    artifact = copied("lora")
    spec = {
        **artifact.manifest.spec,
        "method": {"type": "kto"},
        "dataset": write_rows(tmp_path / "j.jsonl", unpaired()),
    }
    kto = seal(artifact.path, artifact.manifest.model_copy(update={"method": "kto", "spec": spec}))

    with pytest.raises(InputError, match="kto has no loss over the rows that it holds out"):
        kto.evaluate()

    rows = write_rows(tmp_path / "held.jsonl", [{"prompt": "What is 3?", "completion": "Arr, it be 3!"}])
    assert 1 == kto.evaluate(dataset=rows, samples=0).held_out.rows


def test_wrong_settings_are_named(job_of):
    """A setting that does not exist, or is out of range, is an error with its name."""
    with pytest.raises(InputError) as caught:
        job_of("lora").artifact.evaluate(limit=0, shots=3)

    assert {"limit", "shots"} == {problem.where for problem in caught.value.problems}


def test_no_memory_left(job_of, monkeypatch):
    """Where the memory runs out, the error names a setting that needs less."""
    from ftsdk.posttrain import evaluate

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(evaluate, "_answer", fail)

    with pytest.raises(ArtifactError, match="memory of cpu ran out") as caught:
        job_of("lora").artifact.evaluate()
    assert "--batch-size 1" in caught.value.hint


def test_without_bitsandbytes_the_extra_is_named(job_of, monkeypatch):
    """An adapter of a base in 4 bits needs bitsandbytes: without it, the error names the pip command."""
    artifact = job_of("nf4").artifact
    monkeypatch.setattr("ftsdk.posttrain.loading.find_spec", lambda name: None)

    for step in (lambda: artifact.generate(["Hi"]), lambda: artifact.evaluate(samples=0)):
        with pytest.raises(MissingExtra, match="bitsandbytes") as caught:
            step()
        assert "pip install 'ftsdk[local]'" == caught.value.hint


def test_a_missing_base_is_reported(copied, tmp_path):
    """Where the base model cannot be loaded, the error names it."""
    artifact = copied("lora")
    plan = {**artifact.manifest.plan}
    plan["model"] = {**plan["model"], "name": str(tmp_path / "nowhere")}
    moved = seal(artifact.path, artifact.manifest.model_copy(update={"plan": plan}))

    with pytest.raises(ArtifactError, match="nowhere cannot be loaded"):
        moved.evaluate(samples=0)
