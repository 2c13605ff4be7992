"""An estimate needs the model's configuration and nothing else."""

import json

import pytest
from model_configs import LLAMA_3_8B

import ftsdk
from ftsdk.errors import SpecError
from ftsdk.forecast import Architecture

GIB = 2**30


@pytest.fixture
def job(tmp_path):
    """Makes a spec for Llama-3-8B's configuration, without weights; its rows are nowhere."""

    def make(config=LLAMA_3_8B, **fields):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return ftsdk.JobSpec.model_validate({"model": str(tmp_path), "dataset": "nowhere.jsonl", **fields})

    return make


def test_an_estimate_of_qlora(job):
    """Llama-3-8B in nf4 fits in 24 GiB, with the largest micro-batch and length that fit."""
    estimate = ftsdk.estimate(job(compute={"quantization": "nf4"}))

    assert (estimate.fits, estimate.limit, estimate.weights, estimate.changes) == (True, 24 * GIB, 8_030_261_248, ())
    assert estimate.largest_micro_batch > 8
    assert estimate.largest_length > 8 * 1024
    assert estimate.total == estimate.memory.total


def test_an_estimate_is_for_a_card_on_any_machine(job):
    """Fields that need a card are not refused; the card computes in 16 bits, and has a CUDA context."""
    compute = {"quantization": "nf4", "dtype": "bfloat16", "attention": "flash_attention_2"}

    estimate, estimate_without_fields = (
        ftsdk.estimate(job(compute=compute)),
        ftsdk.estimate(job(compute={"quantization": "nf4"})),
    )

    assert estimate.memory == estimate_without_fields.memory
    assert estimate.memory.overhead > 600 * 2**20


def test_what_does_not_fit(job):
    """Each change has its own total, and fits."""
    estimate = ftsdk.estimate(job(), "16GiB")

    assert not estimate.fits
    assert "compute.quantization" in estimate.changes[0].settings
    assert all(change.memory.total <= 16 * GIB for change in estimate.changes)


def test_the_spec_may_name_the_card(job):
    """``compute.memory_limit`` is used unless the call sets a size."""
    spec = job(compute={"memory_limit": "48GiB"})

    assert (48 * GIB, 80 * GIB) == (ftsdk.estimate(spec).limit, ftsdk.estimate(spec, "80GiB").limit)


def test_an_engine_with_all_logits_needs_more(job):
    """LLaMA-Factory's loss keeps all logits of a batch in memory; the local engine's a chunk."""
    spec = job(compute={"quantization": "nf4"}, training={"max_length": 4096})

    local, llamafactory = (ftsdk.estimate(spec, backend=name) for name in ("local", "llamafactory"))

    assert llamafactory.memory.logits == llamafactory.rows * 4096 * 128256 * 14
    assert local.memory.logits < llamafactory.memory.logits / 10


def test_an_unknown_model_type_is_named(job):
    """A model whose weights cannot be counted is an error with the reason, not a number."""
    with pytest.raises(SpecError, match="type 'mamba' has is not known"):
        ftsdk.estimate(job(config={**LLAMA_3_8B, "model_type": "mamba"}))


def test_a_managed_service_has_no_estimate(job):
    """A service that chooses its own machine has no card to estimate for."""
    with pytest.raises(SpecError, match="the engine or machine that together uses is not known here"):
        ftsdk.estimate(job(model="Qwen/Qwen3-8B"), backend="together")


def test_an_estimate_prints_as_a_page(job):
    """Parts, whether it fits, and changes, as text."""
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
def test_a_size_that_is_no_card_is_refused(job, memory):
    """A size without a unit or a meaning is an error with the next step, not a card of no memory."""
    with pytest.raises(SpecError) as caught:
        ftsdk.estimate(job(), memory)
    [problem] = caught.value.problems

    assert ("memory", "a number with its unit, such as 24GiB") == (problem.where, problem.fix)


def test_no_length_beyond_the_model(job):
    """A length beyond the model's positions is not one that fits."""
    config = {**LLAMA_3_8B, "max_position_embeddings": 8192}

    assert 8192 == ftsdk.estimate(job(config, compute={"quantization": "nf4"})).largest_length
