"""Reward modeling from plan to artifact, on the tiny model in this process."""

import json
import re

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_models import metrics_of, tiny
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig

from ftsdk.artifact import Artifact
from ftsdk.errors import ArtifactError
from ftsdk.job_types import Reason
from ftsdk.modeling.pair_objective import PairObjective
from ftsdk.workers.event_writer import read_events
from ftsdk.workers.outcome import WorkerError

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]

PLAIN = {"quantization": None, "dtype": "float32"}
KINDS = {
    "qlora-nf4": {"compute": {"quantization": "nf4"}},
    "lora-int8": {"compute": {"quantization": "int8"}},
    "full-bf16": {"adapter": None, "compute": {"dtype": "bfloat16"}},
    "dora": {"adapter": {"use_dora": True}},
    "centered": {"method": {"type": "reward_modeling", "center_rewards_coefficient": 0.01}},
    "checkpointing": {"compute": {"gradient_checkpointing": True}},
    "micro-batch": {"compute": {"per_device_train_batch_size": 2}},
}


@pytest.fixture
def pairs_file(tmp_path):
    """Forty questions: a pirate answers better than a clerk."""
    path = tmp_path / "pairs.jsonl"
    rows = [
        {
            "prompt": [{"role": "user", "content": f"What is {a} plus {b}?"}],
            "chosen": [{"role": "assistant", "content": f"Arr, {a} plus {b} be {a + b}, matey!"}],
            "rejected": [{"role": "assistant", "content": f"The result of the addition is {a + b}."}],
        }
        for a in range(8)
        for b in range(5)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def reward_spec(make_spec, pairs_file):
    """A short reward-model job on the tiny model, in float32 unless changed."""

    def make(**changes):
        compute = {**PLAIN, **changes.pop("compute", {})}
        return make_spec(**{"method": "reward_modeling", "dataset": str(pairs_file), **changes, "compute": compute})

    return make


def weights(folder):
    """All tensors of an artifact."""
    [path] = folder.artifact.glob("*.safetensors")
    return load_file(path)


def texts_of(path, tokenizer):
    """Each conversation with its better answer, and with its worse one, as in the model card."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        [tokenizer.apply_chat_template(row["prompt"] + row[name], tokenize=False).rstrip() for row in rows]
        for name in ("chosen", "rejected")
    ]


def loaded(folder, **options):
    """The model and its tokenizer by plain Transformers and PEFT."""
    artifact = Artifact.open(folder.artifact)
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    options = {"num_labels": 1, "pad_token_id": tokenizer.pad_token_id, "dtype": torch.float32, **options}
    if artifact.kind == "model":
        return AutoModelForSequenceClassification.from_pretrained(artifact.path, **options).eval(), tokenizer
    base = AutoModelForSequenceClassification.from_pretrained(artifact.base_model, **options)
    return PeftModel.from_pretrained(base, artifact.path).eval(), tokenizer


@torch.no_grad()
def scores(model, tokenizer, texts, side):
    """Of texts, in one batch padded on a side, or one by one."""
    if side == "unpadded":
        return np.concatenate([scores(model, tokenizer, [text], "right") for text in texts])
    tokenizer.padding_side = side
    inputs = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
    return model(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask).logits.squeeze(-1).float().numpy()


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_every_kind_learns(reward_spec, train, changes):
    """Each way of training runs for real: held-out pairs are ranked rightly, and the artifact verifies."""
    spec = reward_spec(**changes, val_size=8, training={"max_steps": 12})

    folder = train(spec)

    losses, accuracies = metrics_of(folder, "eval_loss"), metrics_of(folder, "eval_accuracy")
    assert losses[-1] < losses[0]
    assert accuracies[-1] > 0.9
    assert Artifact.open(folder.artifact).kind == ("model" if spec.adapter is None else "adapter")


@pytest.mark.numeric
@pytest.mark.parametrize("adapter", [{"r": 8}, None], ids=["lora", "full"])
def test_plain_libraries_give_the_same_scores(reward_spec, train, pairs_file, adapter, monkeypatch):
    """What was measured in training is what plain Transformers and PEFT give, however a batch is padded."""
    monkeypatch.setattr("ftsdk_local.train.common.export.stored_dtype", lambda _: torch.float32)  # nothing is rounded
    folder = train(reward_spec(adapter=adapter, eval_dataset=str(pairs_file)))
    measured = [metrics_of(folder, name)[-1] for name in ("eval_margin", "eval_score")]

    model, tokenizer = loaded(folder)
    better, worse = texts_of(pairs_file, tokenizer)

    for side in ("left", "right", "unpadded"):
        chosen, rejected = (scores(model, tokenizer, texts, side) for texts in (better, worse))
        assert [(chosen - rejected).mean(), (chosen + rejected).mean() / 2] == pytest.approx(measured, abs=1e-5)


@pytest.mark.numeric
def test_a_quantized_base_gives_the_same_scores(reward_spec, train, pairs_file):
    """On the same nf4 base, plain PEFT scores as in training: the head is not quantized."""
    folder = train(reward_spec(compute={"quantization": "nf4"}, eval_dataset=str(pairs_file)))
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )

    model, tokenizer = loaded(folder, quantization_config=nf4)
    for module in model.modules():
        module.support_avx512bf16_for_cpu = False  # bitsandbytes would calculate in bfloat16, whatever its setting
    chosen, rejected = (scores(model, tokenizer, texts, "left") for texts in texts_of(pairs_file, tokenizer))

    assert metrics_of(folder, "eval_margin")[-1] == pytest.approx((chosen - rejected).mean(), abs=1e-4)


@pytest.mark.parametrize("compute", [{"quantization": "nf4"}, {"quantization": "int8"}, {"dtype": "bfloat16"}], ids=str)
def test_the_head_is_trained_in_float32(reward_spec, train, compute):
    """However the base is held, the adapter's file has the head, moved from the zeros that it began with."""
    folder = train(reward_spec(compute=compute, training={"max_steps": 2}))

    head = weights(folder)["base_model.model.score.weight"]

    assert (torch.float32, (1, 128), True) == (head.dtype, tuple(head.shape), bool(head.all()))


def test_before_training_every_pair_is_a_tie(reward_spec, train):
    """A new head scores every answer 0: the held-out loss begins at log 2, with half of the pairs ranked rightly."""
    folder = train(reward_spec(val_size=8, training={"max_steps": 1}))

    assert [0.5, 0.0] == [metrics_of(folder, name)[0] for name in ("eval_accuracy", "eval_margin")]
    assert metrics_of(folder, "eval_loss")[0] == pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize("adapter", [{"r": 8}, None], ids=["lora", "full"])
def test_the_card_has_code_for_scoring(reward_spec, train, tiny_model, adapter):
    """The card names the kind of model for the Hub, and its code gives a score."""
    artifact = train(reward_spec(adapter=adapter, training={"max_steps": 1})).artifact
    card = (artifact / "README.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL))
    namespace = {}

    exec(code.replace("FOLDER", str(artifact)).replace('"tiny-model"', f'"{tiny_model}"'), namespace)

    assert "pipeline_tag: text-classification" in card
    assert (1,) == namespace["score"].shape


def test_continues_from_a_fine_tuned_adapter(make_spec, reward_spec, train):
    """The LoRA weights of supervised fine-tuning are where the reward model begins; its head is new."""
    tuned = train(make_spec(compute=PLAIN), "tuned")

    folder = train(reward_spec(model=str(tuned.artifact), training={"max_steps": 1, "learning_rate": 1e-9}), "scorer")

    before, after = weights(tuned), weights(folder)
    assert {"base_model.model.score.weight"} == after.keys() - before.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-8) for name in before)


def test_continues_from_a_reward_model(reward_spec, train):
    """A reward model that learns on keeps its head."""
    first = train(reward_spec(), "first")

    folder = train(reward_spec(model=str(first.artifact), training={"max_steps": 1, "learning_rate": 1e-9}), "second")

    before, after = weights(first), weights(folder)
    assert all(torch.allclose(before[name], after[name], atol=1e-8) for name in before)
    assert before.keys() == after.keys()


@pytest.mark.parametrize("changes", [{"compute": {"quantization": "nf4"}}, {"adapter": None}], ids=["qlora", "full"])
def test_resumed_run_equals_uninterrupted(reward_spec, train, changes):
    """Stopped and resumed, with dropout and momentum, the metrics and every weight are bit for bit the same."""
    spec = reward_spec(**{"adapter": {"dropout": 0.1}, **changes}, training={"max_steps": 8, "logging_steps": 3})
    uninterrupted = train(spec, "whole")

    train(spec, "parted", stop_after=3)
    resumed = train(spec, "parted")

    for name in ("loss", "accuracy", "margin", "score"):
        assert metrics_of(uninterrupted, name)[-1] == metrics_of(resumed, name)[-1]
    assert all(
        torch.equal(a, b) for a, b in zip(weights(resumed).values(), weights(uninterrupted).values(), strict=True)
    )


@pytest.mark.numeric
def test_micro_batch_changes_nothing(reward_spec, train):
    """However a step is cut, its metrics are those of the whole step."""
    uninterrupted = train(reward_spec(training={"max_steps": 2}), "whole")
    split = train(reward_spec(training={"max_steps": 2}, compute={"per_device_train_batch_size": 1}), "cut")

    for name in ("loss", "accuracy", "margin", "score"):
        assert metrics_of(split, name) == pytest.approx(metrics_of(uninterrupted, name), rel=1e-4, abs=1e-5)


@pytest.mark.numeric
def test_half_as_much_until_it_fits(reward_spec, train, monkeypatch):
    """Out of memory, less is taken at a time, and pairs are not split; the losses stay the same."""
    plenty = train(reward_spec(training={"max_steps": 2}), "plenty")

    _limit(monkeypatch, tokens=200)
    scarce = train(reward_spec(training={"max_steps": 2}), "scarce")

    warned = [event.message for event in read_events(scarce.events) if event.kind == "warning"]
    assert metrics_of(scarce, "loss") == pytest.approx(metrics_of(plenty, "loss"), rel=1e-5)
    assert "out of memory with 2048 tokens at a time; continuing with 1024 tokens at a time" == warned[0]


def test_a_pair_that_does_not_fit_ends_the_job(reward_spec, train, monkeypatch):
    """With nothing left to halve, the failure names a pair, and of a length that is half of its rows'."""
    _limit(monkeypatch, tokens=0)

    with pytest.raises(WorkerError, match=r"a single pair of rows of \d+ tokens") as caught:
        train(reward_spec())

    pair = int(re.search(r"of (\d+) tokens", caught.value.message)[1])
    assert (Reason.OOM, True) == (caught.value.reason, f"training.max_length={pair // 4}" in caught.value.hint)


def _limit(monkeypatch, tokens):
    compute = PairObjective.__call__

    def limited(self, bin_):
        if sum(bin_.lengths) > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return compute(self, bin_)

    monkeypatch.setattr(PairObjective, "__call__", limited)


def test_early_stopping_looks_at_the_held_out_loss(reward_spec, train):
    """A run that gets worse is stopped, and the artifact is its best evaluation."""
    spec = reward_spec(
        val_size=8,
        adapter={"alpha": 400},
        training={"max_steps": 30, "learning_rate": 0.3, "eval_steps": 1, "early_stopping_patience": 2},
    )

    held_out = metrics_of(train(spec), "eval_loss")

    assert len(held_out) < 30
    assert held_out[-1] == pytest.approx(min(held_out), rel=1e-6)


def test_truncation_gives_a_warning(reward_spec, train):
    """Rows that were cut are counted in a warning, with the length that would keep them."""
    folder = train(reward_spec(training={"max_length": 24, "max_steps": 1}))

    [warning] = [event.message for event in read_events(folder.events) if event.kind == "warning"]

    assert re.fullmatch(r"dataset: \d+ of 80 rows were cut at 24 tokens, .* would keep all", warning)


def test_an_architecture_without_a_head(reward_spec, train, monkeypatch):
    """A model whose score head is not one linear layer is refused, with others to take."""
    load = AutoModelForSequenceClassification.from_pretrained

    def headless(*args, **options):
        model, loading = load(*args, **options)
        model.score = nn.Sequential(model.score)
        return model, loading

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", headless)

    with pytest.raises(WorkerError, match="no linear score head for LlamaForSequenceClassification"):
        train(reward_spec())


def test_a_scorer_does_not_chat(reward_spec, train):
    """A reward model that is asked to generate is refused with its purpose and the next step."""
    folder = train(reward_spec(training={"max_steps": 1}))

    with pytest.raises(ArtifactError, match="holds a reward model") as caught:
        Artifact.open(folder.artifact).generate(["Who are you?"])

    assert "method.reward" in caught.value.hint


@pytest.mark.slow
def test_real_pairs(reward_spec, train, tmp_path, tiny_model, shared_data):
    """On 200 real pairs a model without any knowledge learns what helps with 100 others."""
    model, rows = tmp_path / "model", tmp_path / "real.jsonl"
    tiny("Llama", vocab_size=1536, hidden_size=128, num_hidden_layers=1, max_position_embeddings=1024).save_pretrained(
        model
    )
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(model)
    rows.write_text("".join(json.dumps(_without_context(row)) + "\n" for row in _real(shared_data)), "utf-8")
    spec = reward_spec(
        model=str(model),
        dataset=str(rows),
        adapter=None,
        val_size=100,
        training={
            "max_steps": 30,
            "global_batch_size": 20,
            "learning_rate": 5e-4,
            "max_length": 1024,
            "warmup_steps": 0,
            "seed": 1,
        },
    )

    folder = train(spec)

    loss, accuracy = metrics_of(folder, "eval_loss"), metrics_of(folder, "eval_accuracy")
    assert loss[-1] < loss[0] - 0.005
    assert accuracy[-1] > 0.55


def _real(shared_data):
    return json.loads((shared_data / "dpo_en_demo.json").read_text("utf-8"))


def _without_context(row):
    """So small a model reads only a question's end, which leaves it more of the answers."""
    prompt = [{"role": "user", "content": row["conversations"][-1]["value"][-20:]}]
    answers = {name: [{"role": "assistant", "content": row[name]["value"]}] for name in ("chosen", "rejected")}
    return {"prompt": prompt, **answers}
