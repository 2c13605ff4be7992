"""An estimate needs the model's configuration and nothing else."""

import json

import pytest

import ftsdk
from ftsdk.errors import SpecError
from ftsdk.forecast import Architecture

LLAMA_3_8B = {
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
}
GIB = 2**30


@pytest.fixture
def job(tmp_path):
    """Makes a spec for Llama-3-8B's configuration, without weights; its rows are nowhere."""

    def make(config=LLAMA_3_8B, **fields):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return ftsdk.JobSpec.model_validate({"model": str(tmp_path), "dataset": "nowhere.jsonl", **fields})

    return make


def test_an_estimate_of_qlora(job):
    """Llama-3-8B in nf4: it fits in 24 GiB, with the largest micro-batch and length that would."""
    found = ftsdk.estimate(job(compute={"quantization": "nf4"}))

    assert (found.fits, found.limit, found.weights, found.changes) == (True, 24 * GIB, 8_030_261_248, ())
    assert found.largest_micro_batch > 8
    assert found.largest_length > 8 * 1024
    assert found.total == found.memory.total


def test_an_estimate_is_of_a_card_wherever_it_is_made(job):
    """What only a card can do is no reason to refuse; it computes in 16 bits, and has a context."""
    compute = {"quantization": "nf4", "dtype": "bfloat16", "attention": "flash_attention_2"}

    found, plain = ftsdk.estimate(job(compute=compute)), ftsdk.estimate(job(compute={"quantization": "nf4"}))

    assert found.memory == plain.memory
    assert found.memory.overhead > 600 * 2**20


def test_what_does_not_fit(job):
    """Each change has its own total, and fits."""
    found = ftsdk.estimate(job(), "16GiB")

    assert not found.fits
    assert "compute.quantization" in found.changes[0].settings
    assert all(change.memory.total <= 16 * GIB for change in found.changes)


def test_the_spec_may_name_the_card(job):
    """``compute.memory_limit`` is taken unless the call says otherwise."""
    spec = job(compute={"memory_limit": "48GiB"})

    assert (48 * GIB, 80 * GIB) == (ftsdk.estimate(spec).limit, ftsdk.estimate(spec, "80GiB").limit)


def test_an_engine_with_whole_logits_needs_more(job):
    """LLaMA-Factory's loss holds all logits of its batch; ours a chunk."""
    spec = job(compute={"quantization": "nf4"}, training={"max_length": 4096})

    ours, theirs = (ftsdk.estimate(spec, backend=name) for name in ("local", "llamafactory"))

    assert theirs.memory.logits == theirs.rows * 4096 * 128256 * 14
    assert ours.memory.logits < theirs.memory.logits / 10


def test_an_unknown_type_is_said(job):
    """A model whose weights cannot be counted gets the reason, and no number."""
    with pytest.raises(SpecError, match="type 'mamba' has is not known"):
        ftsdk.estimate(job(config={**LLAMA_3_8B, "model_type": "mamba"}))


def test_a_managed_service_has_no_estimate(job):
    """A service that chooses its machine has no card that this could be about."""
    with pytest.raises(SpecError, match="on a machine, that is not known here"):
        ftsdk.estimate(job(model="Qwen/Qwen3-8B"), backend="together")


def test_an_estimate_prints_as_a_page(job):
    """Parts, verdict and changes, for people."""
    page = str(ftsdk.estimate(job(), "16GiB"))

    assert "does not fit in 16.00 GiB (local, forecast)" in page
    assert "weights: 14.96 GiB" in page
    assert "fits with compute.quantization=nf4" in page


def test_the_name_is_the_function():
    """No module of the same name takes its place, whatever is imported first."""
    import ftsdk.forecast.memory

    assert callable(ftsdk.estimate)
    assert Architecture is ftsdk.forecast.Architecture


@pytest.mark.parametrize("memory", ["banana", -1, 0, "", [], float("nan"), "24", 24])
def test_what_is_no_card_is_refused(job, memory):
    """A size without a unit or a meaning is an error with the next step, not a card of no memory."""
    with pytest.raises(SpecError) as caught:
        ftsdk.estimate(job(), memory)
    [problem] = caught.value.problems

    assert ("memory", "a number with its unit, such as 24GiB") == (problem.where, problem.fix)


def test_no_length_beyond_the_model(job):
    """What the model was not made for is no length that fits."""
    config = {**LLAMA_3_8B, "max_position_embeddings": 8192}

    assert 8192 == ftsdk.estimate(job(config, compute={"quantization": "nf4"})).largest_length
