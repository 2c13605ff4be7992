"""The loss on held-out rows: what the trainer measured is measured again, and nothing else is taken for it."""

import math

import pytest
import torch
from preference_rows import judged, written
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftsdk.artifact import MANIFEST, Artifact, Manifest, seal
from ftsdk.errors import ArtifactError, DataError, InputError
from ftsdk.files import sha256

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("evaluate")]


def columns(evaluation):
    """From each metric to both of its values."""
    return {each.metric: (each.base, each.artifact) for each in evaluation.held_out.metrics}


@pytest.mark.parametrize("kind", ["lora", "nf4", "pissa", "second", "reward_modeling", "dpo"])
def test_the_loss_is_the_trainers(made, kind):
    """On the rows that the job held out, base and artifact have the losses that its trainer told, before and after."""
    artifact = made(kind).artifact
    told = artifact.manifest.metrics

    found = columns(artifact.evaluate(samples=0))

    assert (told["eval_loss_before"], told["eval_loss"]) == pytest.approx(found["loss"], abs=1e-4)


def test_the_loss_of_a_whole_model(made):
    """A whole model is saved in the precision of its base, bfloat16, and what is saved is measured."""
    artifact = made("whole").artifact
    told = artifact.manifest.metrics

    base, tuned = columns(artifact.evaluate(samples=0))["loss"]

    assert told["eval_loss_before"] == pytest.approx(base, abs=1e-4)
    assert told["eval_loss"] == pytest.approx(tuned, abs=2e-3)


def test_perplexity(made):
    """Perplexity is the exponential of the mean loss of a token; the tokens that carry loss are counted."""
    held = made("lora").artifact.evaluate(samples=0).held_out
    loss, perplexity = held.metrics

    assert (math.exp(loss.base), math.exp(loss.artifact)) == (perplexity.base, perplexity.artifact)
    assert ("job", 6) == (held.origin, held.rows)
    assert 6 * len("Arr,") < held.tokens


def test_a_reward_model_tells_the_better_answer(made):
    """A base without a trained head can only guess; the accuracy of the artifact is the trainer's."""
    artifact = made("reward_modeling").artifact

    found = columns(artifact.evaluate())

    assert (0.5, pytest.approx(artifact.manifest.metrics["eval_accuracy"])) == found["accuracy"]


def test_implicit_rewards(made):
    """Of an artifact of DPO, the better answer must have gained more probability than the worse one."""
    found = columns(made("dpo").artifact.evaluate(samples=0))

    base, tuned = found["accuracy"]
    assert (0.5, 0.0, math.log(2)) == (base, found["margin"][0], pytest.approx(found["loss"][0]))
    assert 0.5 < tuned <= 1.0
    assert found["margin"][1] > 0


def test_given_rows_by_hand(made, tmp_path):
    """The loss of a given row is the mean, over the answer's tokens, of what plain Transformers says of them."""
    artifact = made("whole").artifact
    said = "Arr, it be 99, matey!"
    ask = [{"role": "user", "content": "What is 99?"}]
    answer = [{"role": "assistant", "content": said}]
    rows = written(tmp_path / "held.jsonl", [{"messages": [*ask, *answer]}])
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    whole = tokenizer.apply_chat_template([*ask, *answer], tokenize=False).rstrip("\n")
    asked = tokenizer.apply_chat_template(ask, tokenize=False, add_generation_prompt=True)
    ids, before = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (whole, asked))
    model = AutoModelForCausalLM.from_pretrained(artifact.path, dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, len(before) - 1 : -1]
    by_hand = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[len(before) :])).item()

    found = artifact.evaluate(dataset=rows, samples=0)

    assert by_hand == pytest.approx(columns(found)["loss"][1], abs=1e-4)
    assert ("dataset", {rows: sha256(tmp_path / "held.jsonl")}) == (found.held_out.origin, found.held_out.files)


def test_limit(made):
    """With a limit, only the first held-out rows are looked at."""
    assert 2 == made("lora").artifact.evaluate(limit=2, samples=0).held_out.rows


def test_it_can_be_asked_again(made):
    """Asked twice, it finds the same, and leaves the artifact as it was: a broken run needs nothing but another."""
    artifact = made("lora").artifact
    before = sorted(path.name for path in artifact.path.iterdir())

    one, other = (artifact.evaluate().model_dump(exclude={"created"}) for _ in range(2))

    assert one == other
    assert before == sorted(path.name for path in artifact.path.iterdir())
    artifact.verify()


def test_samples_side_by_side(made):
    """The artifact's answer is the one that it gives when it is asked by itself; the row's own stands beside it."""
    artifact = made("lora").artifact

    samples = artifact.evaluate(samples=2, limit=3, max_new_tokens=8).samples

    assert 2 == len(samples)
    for sample in samples:
        number = sample.prompt[-1]["content"].removeprefix("What is ").rstrip("?")
        assert f"Arr, it be {number}, matey!" == sample.expected
        (alone,) = artifact.generate([sample.prompt], max_new_tokens=8)
        assert alone == sample.artifact


def test_changed_rows_are_refused(made):
    """Where the file has changed, what it held out may have been learned from: it is refused, until it is put back."""
    artifact, rows = made("lora")
    whole = rows.read_text("utf-8")
    rows.write_text(whole.replace("Arr", "Ahoy"), "utf-8")

    try:
        with pytest.raises(DataError, match="has changed since the job read it") as caught:
            artifact.evaluate()
    finally:
        rows.write_text(whole, "utf-8")

    assert "--dataset" in caught.value.hint
    assert artifact.evaluate(samples=0).held_out.rows == 6


def test_lost_rows_are_refused(made):
    """Where the file is gone, the error names it, and what to give instead."""
    artifact, rows = made("lora")
    rows.rename(rows.with_suffix(".away"))

    try:
        with pytest.raises(DataError, match=rf"{rows.name}.*is not on this machine") as caught:
            artifact.evaluate()
    finally:
        rows.with_suffix(".away").rename(rows)

    assert "--dataset" in caught.value.hint


def test_a_hosted_result(copied, made, tiny_model):
    """What another backend brought is measured alike; its manifest tells no rows, so they are given."""
    folder = copied("lora").path
    (folder / MANIFEST).unlink()
    plan = {"model": "tiny/model", "n_epochs": 1}  # another system's word for another thing
    seal(folder, Manifest(kind="adapter", base_model=str(tiny_model), method="sft", plan=plan, job="together:ft-1"))
    hosted, rows = Artifact.open(folder), made("lora").rows

    with pytest.raises(InputError, match="nothing to evaluate"):
        hosted.evaluate()

    ours = made("lora").artifact.evaluate(dataset=rows, samples=0)
    assert columns(ours) == columns(hosted.evaluate(dataset=rows, samples=0))


def test_no_code_of_a_model_runs(copied, monkeypatch):
    """Whatever a manifest says, a model's own code is never run by an evaluation."""
    from ftsdk.posttrain import base_and_tuned as sides

    artifact = copied("lora")
    manifest = artifact.manifest
    plan = {**manifest.plan, "model": {**manifest.plan["model"], "trust_remote_code": True}}
    sealed = seal(artifact.path, manifest.model_copy(update={"plan": plan}))

    assert not sides.settings_of(sealed.path, sealed.manifest).trust_remote_code


def test_a_merged_model(copied):
    """A model that stands alone is measured as it is saved, and its base beside it, though it was trained in 4 bits."""
    artifact = copied("whole")
    plan = {**artifact.manifest.plan}
    plan["model"] = {**plan["model"], "quantization": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}}
    merged = seal(artifact.path, artifact.manifest.model_copy(update={"plan": plan}))

    found = merged.evaluate(samples=0)

    assert "" == found.quantization
    assert artifact.manifest.metrics["eval_loss_before"] == pytest.approx(columns(found)["loss"][0], abs=1e-4)


def test_a_method_without_a_held_out_loss(copied, tmp_path):
    """KTO and its like have no loss that says how good a model is: that is told; given rows have one."""
    artifact = copied("lora")
    spec = {**artifact.manifest.spec, "method": {"type": "kto"}, "dataset": written(tmp_path / "j.jsonl", judged())}
    kto = seal(artifact.path, artifact.manifest.model_copy(update={"method": "kto", "spec": spec}))

    with pytest.raises(InputError, match="kto has no loss over the rows that it holds out"):
        kto.evaluate()

    rows = written(tmp_path / "held.jsonl", [{"prompt": "What is 3?", "completion": "Arr, it be 3!"}])
    assert 1 == kto.evaluate(dataset=rows, samples=0).held_out.rows


def test_wrong_settings_are_named(made):
    """A setting that does not exist, or cannot be, is an error with its name."""
    with pytest.raises(InputError) as caught:
        made("lora").artifact.evaluate(limit=0, shots=3)

    assert {"limit", "shots"} == {problem.where for problem in caught.value.problems}


def test_no_memory_left(made, monkeypatch):
    """Where the memory runs out, the error says what needs less."""
    from ftsdk.posttrain import evaluate

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(evaluate, "_answer", fail)

    with pytest.raises(ArtifactError, match="memory of cpu ran out") as caught:
        made("lora").artifact.evaluate()
    assert "--batch-size 1" in caught.value.hint


def test_a_lost_base_is_told(copied, tmp_path):
    """Where the base model cannot be loaded, the error says which one."""
    artifact = copied("lora")
    plan = {**artifact.manifest.plan}
    plan["model"] = {**plan["model"], "name": str(tmp_path / "nowhere")}
    lost = seal(artifact.path, artifact.manifest.model_copy(update={"plan": plan}))

    with pytest.raises(ArtifactError, match="nowhere cannot be loaded"):
        lost.evaluate(samples=0)
