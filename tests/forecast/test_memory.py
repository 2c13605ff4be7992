"""The forecast's parts, against counts of real models and against closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_configs import LLAMA_3_8B

from ftsdk import JobSpec
from ftsdk.forecast import (
    LOGIT_ROWS,
    Architecture,
    MemoryInputs,
    TrainerProfile,
    forecast,
    responses_that_fit,
    tokens_that_fit,
)

ARCHITECTURE = Architecture.from_config(LLAMA_3_8B)
PROFILE = TrainerProfile(logit_rows=LOGIT_ROWS)
GIB = 2**30


def spec(**changes):
    return JobSpec(**{"model": "a", "dataset": "b.jsonl", **changes})


def need(job, tokens=1024, **changes):
    return forecast(job, ARCHITECTURE, PROFILE.model_copy(update=changes), tokens=tokens)


def test_weights_of_llama_3_8b():
    """The counts are those of the real model, built on the meta device."""
    assert (ARCHITECTURE.linear_weights, ARCHITECTURE.weights) == (6_979_321_856, 8_030_261_248)


def test_nf4_with_double_quantization():
    """0.5159 bytes for each packed weight, two for the rest."""
    expected = 6_979_321_856 * (0.5 + 1 / 64 + 4 / (64 * 256)) + 2 * 1_050_939_392

    assert need(spec(compute={"quantization": "nf4"})).weights == pytest.approx(expected, rel=1e-6)


def test_what_quantization_leaves_may_be_widened():
    """A trainer that converts embedding, head and norms to float32 needs two bytes more for each of their weights."""
    job = spec(compute={"quantization": "nf4"})

    assert need(job, plain_width=4).weights - need(job).weights == 2 * 1_050_939_392


def test_lora_weights():
    """2,621,440 trained weights for each unit of rank: 4 bytes, 4 of gradient and 8 of Adam."""
    memory = need(spec(adapter={"r": 16}))

    count = 16 * 2_621_440
    assert (memory.adapter, memory.gradients, memory.optimizer) == (4 * count, 4 * count, 8 * count)


def test_lora_on_some_layers():
    """Only the named layers count: queries and values of Llama-3-8B."""
    memory = need(spec(adapter={"r": 4, "target_modules": ["q_proj", "v_proj"]}))

    assert memory.adapter == 4 * 32 * 4 * ((4096 + 4096) + (4096 + 1024))


def test_dora_adds_a_magnitude_for_each_output():
    """DoRA trains one number more for each output of an adapted layer."""
    plain, dora = need(spec()), need(spec(adapter={"use_dora": True}))

    assert dora.adapter - plain.adapter == 4 * 32 * (4096 * 3 + 1024 * 2 + 14336 * 2)


@pytest.mark.parametrize(("optim", "width"), [("adamw_torch", 8), ("adamw_8bit", 2), ("adafactor", 0), ("sgd", 0)])
def test_states_of_the_optimizer(optim, width):
    """Bytes of state for each trained weight."""
    assert need(spec(training={"optim": optim})).optimizer == width * 16 * 2_621_440


def test_full_fine_tune():
    """Every weight in float32 with gradient and Adam: 16 bytes; trainer in 16 bits keeps a copy of the linears."""
    memory = need(spec(adapter=None))

    permanent = memory.weights + memory.adapter + memory.gradients + memory.optimizer
    assert permanent == 16 * 8_030_261_248 + 2 * 6_979_321_856


def test_a_full_dpo_holds_a_frozen_copy():
    """Where every weight trains, the reference is a second model; with an adapter it is the base itself."""
    difference = need(spec(adapter=None, method="dpo")).weights - need(spec(adapter=None)).weights

    assert difference == 4 * 8_030_261_248
    assert need(spec(method="dpo")).weights == need(spec()).weights


def test_chunked_logits_stop_growing():
    """Beyond two chunks, more tokens need no more logits: only their hidden states."""
    more = need(spec(), tokens=8192).logits - need(spec(), tokens=4096).logits

    assert more == 4 * 4096 * 2 * 4096


def test_whole_logits():
    """Transformers' own loss: logits in 16 bits, and three times in float32."""
    assert need(spec(), tokens=1000, logit_rows=None).logits == 1000 * 128256 * 14


def test_a_head_that_does_more_cannot_be_cut():
    """Gemma 2 caps its logits, so even ftsdk's loss computes all of them at once."""
    capped = ARCHITECTURE.model_copy(update={"bare_head": False})

    assert forecast(spec(), capped, PROFILE, tokens=1000).logits == 1000 * 128256 * 14


def test_checkpointing_keeps_one_input_for_each_layer():
    """With checkpointing it is a fraction of what autograd keeps of all layers."""
    checkpointed, complete = need(spec()).activations, need(spec(), checkpointing=False).activations

    assert checkpointed == (32 + 2) * 4096 * 2 * 1024
    assert complete > 20 * checkpointed


def test_eager_attention_grows_with_the_square():
    """Its scores: heads x length x tokens."""
    job = spec(training={"max_length": 2048})

    assert need(job, 2048, score_matrix=True).layer - need(job, 2048).layer == 15 * 32 * 2048 * 2048


def test_qlora_of_8b_fits_24_gb():
    """As the example documents: Llama-3-8B in nf4 trains on 24 GB, with memory to spare."""
    assert need(spec(compute={"quantization": "nf4"})).total < 24e9 / 2


@given(st.integers(1, 10**5), st.booleans(), st.sampled_from([2, 4]), st.sampled_from([None, LOGIT_ROWS]))
def test_more_tokens_never_need_less(tokens, checkpointing, width, logit_rows):
    """The forecast grows with the tokens, so that a search for what fits is right."""
    way = {"checkpointing": checkpointing, "width": width, "logit_rows": logit_rows}

    assert need(spec(), tokens, **way).total <= need(spec(), tokens + 1, **way).total


@given(st.integers(1, 1023), st.sampled_from([None, "nf4", "int8"]), st.sampled_from(["sft", "dpo", "kto", "orpo"]))
def test_more_rank_never_needs_less(rank, quantization, method):
    """The forecast grows with the rank, whatever the method."""
    jobs = [spec(adapter={"r": r}, method=method, compute={"quantization": quantization}) for r in (rank, rank + 1)]

    assert need(jobs[0]).total < need(jobs[1]).total


@given(st.integers(6 * GIB, 80 * GIB))
def test_tokens_that_fit(limit):
    """The number found fits, and one more would not."""
    job = spec(compute={"quantization": "nf4"})

    tokens = tokens_that_fit(job, ARCHITECTURE, PROFILE, limit=limit)

    assert tokens == 0 or need(job, tokens).total <= limit
    assert tokens == 1 << 20 or need(job, tokens + 1).total > limit


PPO_8B = {
    "method": {"type": "ppo", "reward": "out/reward", "max_new_tokens": 512},
    "compute": {"quantization": "nf4"},
    "training": {"global_batch_size": 32, "max_length": 1024},
}


def test_ppo_holds_two_trained_adapters_and_a_frozen_one():
    """Policy and value train, the reward model's adapter does not; there is one base."""
    function = {**PPO_8B, "method": {**PPO_8B["method"], "reward": "module:function"}}
    sft = need(spec(compute={"quantization": "nf4"}))

    with_model, with_function = need(spec(**PPO_8B)), need(spec(**function))

    adapter = 4 * 16 * 2_621_440
    assert (with_model.weights, with_function.adapter) == (sft.weights, 2 * adapter)
    assert (with_model.adapter, with_model.gradients) == (3 * adapter, 2 * adapter)


def test_a_reward_model_has_no_output_head():
    """It is lighter than a language model by the head, and by all logits."""
    reward_model, sft = need(spec(method="reward_modeling")), need(spec())

    assert (sft.weights - reward_model.weights, reward_model.logits) == (2 * 128256 * 4096, 0)


def test_the_cache_of_responses():
    """131,072 bytes for each token of Llama-3-8B's cache in bfloat16, for every response in full."""
    cache = 32 * 1024 * 131_072

    generation = need(spec(**PPO_8B)).generation

    assert cache < generation < 2 * cache


def test_ppo_of_8b_fits_24_gb():
    """As the docs say: PPO of Llama-3-8B in nf4, with a reward model, on one card of 24 GB."""
    assert need(spec(**PPO_8B)).total < 24e9


@given(st.integers(10 * GIB, 80 * GIB))
def test_responses_that_fit(limit):
    """The responses that are sampled at a time fit beside the weights; at least one is tried."""
    job = spec(**PPO_8B)
    memory = need(job)
    permanent, response = memory.allocated - memory.step, memory.generation / 32

    count = responses_that_fit(job, ARCHITECTURE, PROFILE, limit=limit)

    assert count == 1 or permanent + count * response <= limit
    assert permanent + (count + 1) * response > limit


@pytest.mark.parametrize(("checkpointing", "part", "layers"), [(True, "layer", 1), (False, "activations", 32)])
def test_weights_that_are_rounded_while_they_learn(checkpointing, part, layers):
    """Autograd keeps the merged and the rounded weight: of one layer where it is recomputed, else of all."""
    plain, aware = (
        getattr(need(spec(training={"quantization_aware": kind}), checkpointing=checkpointing), part)
        for kind in (None, "int4")
    )

    assert aware - plain == pytest.approx(layers * 4.28 * ARCHITECTURE.linear_weights / 32, rel=1e-6)


def test_inputs_keep_the_keys_of_stored_plans():
    """Plans that were stored earlier can be read, and new ones have the same keys."""
    inputs = MemoryInputs(architecture=ARCHITECTURE, trainer=PROFILE, rows=2)

    stored = inputs.model_dump(mode="json")

    assert {"shape", "computing", "rows"} == stored.keys()
    assert "others" in stored["shape"]
    assert inputs == MemoryInputs.model_validate(stored)
