"""The scores of rows laid end to end are those that plain Transformers gives each of them."""

import numpy as np
import pytest
import torch
import transformers
from tiny_models import TINY

from ftsdk.data.row_labels import choose_padding
from ftsdk.modeling.batches import Example, Pair, bins_of, lay_end_to_end
from ftsdk.modeling.objective import find_route
from ftsdk.modeling.pair_objective import PairObjective, end_tokens, scores_of

pytestmark = pytest.mark.numeric

ARCHITECTURES = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {},
    "Mistral": {"sliding_window": 7},
    "Gemma2": {"attn_logit_softcapping": 5.0},
    "Phi3": {},
    "GPT2": {"n_embd": 64, "n_head": 4, "n_layer": 2},
    "Bloom": {"n_layer": 2, "n_head": 4},
    "Jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False, "num_experts": 2},
}


def scorer(architecture, **changes):
    """A random reward model of an architecture of Transformers, in float32."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{architecture}Config")(**{**TINY, "num_labels": 1, **changes})
    return getattr(transformers, f"{architecture}ForSequenceClassification")(config).eval()


def rows(*lengths):
    random = np.random.default_rng(0)
    random_rows = [random.integers(3, 128, length).astype(np.int32) for length in lengths]
    return [Example(ids, ids) for ids in random_rows]


@pytest.mark.parametrize(("architecture", "changes"), ARCHITECTURES.items(), ids=ARCHITECTURES)
@torch.no_grad()
def test_scores_equal_the_models_own(architecture, changes):
    """Whatever the architecture, and whether or not its rows may lie in one bin."""
    model, examples = scorer(architecture, **changes), rows(30, 5, 19, 8)
    model.set_attn_implementation("eager")
    expected = [model(torch.from_numpy(row.input_ids).long()[None]).logits.item() for row in examples]

    route = find_route(model, examples)
    actual = scores_of(model, route, lay_end_to_end(examples))

    assert actual.tolist() == pytest.approx(expected, abs=1e-5)


def test_rows_that_would_mix_are_run_alone():
    """A model that carries state from row to row is found out, and its pairs stay in one micro-batch all the same."""
    model = scorer("Jamba", **ARCHITECTURES["Jamba"])

    assert (False, None) == find_route(model, rows(9, 12))[1:]


def test_a_bin_holds_whole_pairs():
    """However a step is cut, the sums are those of all its pairs together."""
    model, (a, b, c, d, e, f) = scorer("Llama"), rows(30, 5, 19, 8, 14, 25)
    pairs = [Pair(a, b), Pair(c, d), Pair(e, f)]
    objective = PairObjective(model, find_route(model, [a, b]), center=0.1)

    together = objective(lay_end_to_end([a, b, c, d, e, f]))
    parts = [objective(bin_) for bin_ in bins_of(pairs, capacity=40)]

    assert 3 == len(parts)
    assert {name: sum(part[name].item() for part in parts) for name in together} == pytest.approx(
        {name: total.item() for name, total in together.items()}, rel=1e-5
    )


def test_metrics_of_a_pair():
    """Loss, accuracy, margin and mean score are those of the two scores."""
    model, pair = scorer("Llama"), rows(12, 7)
    route = find_route(model, pair)
    better, worse = scores_of(model, route, lay_end_to_end(pair)).tolist()

    actual = PairObjective(model, route, center=0.5)(lay_end_to_end(pair))

    loss = np.log1p(np.exp(worse - better)) + 0.5 * (better + worse) ** 2
    expected = {
        "loss": loss,
        "accuracy": float(better > worse),
        "margin": better - worse,
        "score": (better + worse) / 2,
    }
    assert {name: total.item() for name, total in actual.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("pad", "expected"), [("<|pad|>", "<|pad|>"), ("<|end|>", "<|begin|>"), (None, "<|begin|>")])
def test_padding_ends_no_row(tokenizer, pad, expected):
    """The end-of-text token is no padding: the score would be read one token too early."""
    tokenizer.pad_token = pad
    end_row = Example(np.array([5, tokenizer.eos_token_id]), np.array([5, tokenizer.eos_token_id]))

    choose_padding(tokenizer, end_tokens([[Pair(end_row, end_row)]]))

    assert expected == tokenizer.pad_token


def test_padding_is_found_where_every_special_token_ends_a_row(tokenizer):
    """Then an ordinary token that ends none is taken, from the end of the vocabulary."""
    ids = np.array([*tokenizer.all_special_ids, len(tokenizer) - 1])
    rows_ = [Example(ids[at : at + 1], ids[at : at + 1]) for at in range(len(ids))]

    choose_padding(tokenizer, end_tokens([rows_]))

    assert tokenizer.pad_token_id not in ids
