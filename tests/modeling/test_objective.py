"""The leanest way to the loss is taken only where it gives what the model itself gives."""

import numpy as np
import pytest
import torch
from tiny_models import tiny

from ftsdk.modeling.attention import ROW_BY_ROW
from ftsdk.modeling.batches import Example, lay_end_to_end
from ftsdk.modeling.objective import Objective, find_route

pytestmark = pytest.mark.numeric

ARCHITECTURES = {
    "Llama": {},
    "Qwen2": {},
    "Qwen3": {},
    "Mistral": {"sliding_window": 7},
    "Gemma2": {"final_logit_softcapping": 5.0, "attn_logit_softcapping": 5.0},
    "Cohere": {"logit_scale": 0.25},
    "Phi3": {},
}


def rows(*lengths):
    random = np.random.default_rng(0)
    random_rows = [random.integers(3, 128, length).astype(np.int32) for length in lengths]
    return [Example(ids, ids) for ids in random_rows]


def reference(model, examples):
    """The same sum by the model's own forward pass, one row at a time, under plain eager attention."""
    model.set_attn_implementation("eager")
    total = 0.0
    for example in examples:
        ids = torch.from_numpy(example.input_ids).long()[None]
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
    return total


@pytest.mark.parametrize(("architecture", "changes"), ARCHITECTURES.items(), ids=ARCHITECTURES)
def test_loss_equals_the_models_own(architecture, changes):
    """Rows in one bin give the sum of the model's losses of each alone, whatever the architecture's quirks."""
    model, examples = tiny(architecture, **changes), rows(30, 5, 19)
    expected = reference(model, examples)

    route = find_route(model, examples)
    bins = [examples] if route.end_to_end else [[example] for example in examples]
    actual = sum(Objective(model, route)(lay_end_to_end(bin_))["loss"].item() for bin_ in bins)

    assert actual == pytest.approx(expected, rel=1e-5)


def test_plain_architecture_takes_the_lean_way():
    """Llama is trained without padding, mask and whole logits."""
    route = find_route(tiny("Llama"), rows(9, 12))

    assert route == (ROW_BY_ROW, True, True)


def test_capped_logits_are_detected():
    """A head that does more than multiply is left to the model."""
    assert not find_route(tiny("Gemma2", final_logit_softcapping=5.0), rows(9, 12)).bare_head


def test_mixing_neighbours_is_detected():
    """A model that carries state from row to row gets each row alone."""
    assert not find_route(tiny("Mamba", num_hidden_layers=2), rows(9, 12)).end_to_end


def test_gradients_equal_the_models_own():
    """The lean way changes no gradient."""
    examples, gradients = rows(30, 5, 19), []
    for lean in (False, True):
        model = tiny("Llama")
        if lean:
            route = find_route(model, examples)
            Objective(model, route)(lay_end_to_end(examples))["loss"].backward()
        else:
            for example in examples:
                ids = torch.from_numpy(example.input_ids).long()[None]
                logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
                torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").backward()
        gradients.append(dict(model.named_parameters())["model.layers.0.self_attn.q_proj.weight"].grad)

    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
