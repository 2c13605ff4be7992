"""The reference of a policy does not change in training."""

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import tiny

from ftsdk_local.train.common.reference import REFERENCE, configure_reference, drop_reference, reference_model

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries warn of each other's changes

IDS = torch.arange(3, 20)[None]


@pytest.fixture
def model():
    """A policy with dropout, and beside it the copy that TRL makes; both change the base's output."""
    config = LoraConfig(r=4, lora_dropout=0.5, target_modules="all-linear", init_lora_weights=False)
    model = get_peft_model(tiny("Llama"), config)
    model.add_adapter(REFERENCE, config)
    return model.train()


def settings(adapter_from=None, init=True):
    return SimpleNamespace(lora={"init_lora_weights": init}, adapter_from=adapter_from)


@torch.no_grad()
def logits_of(model):
    with reference_model(SimpleNamespace(ref_model=None, model=model)) as reference:
        return reference(input_ids=IDS).logits


def test_an_adapter_to_continue_from_is_the_reference_without_dropout(model):
    """While the policy trains with dropout, its reference gives the same numbers twice, and not the base's."""
    configure_reference(model, settings(adapter_from="somewhere"))

    with model.disable_adapter():
        base = model(input_ids=IDS).logits
    assert torch.equal(logits_of(model), logits_of(model))
    assert not torch.equal(logits_of(model), base)


@pytest.mark.parametrize(("init", "is_kept"), [(True, False), ("gaussian", False), ("pissa", True), ("olora", True)])
def test_a_new_adapter_has_its_base_as_reference(model, init, is_kept):
    """The base itself is the reference, except where the adapter has taken a part out of it."""
    configure_reference(model, settings(init=init))

    assert is_kept == (REFERENCE in model.peft_config)


def test_nothing_of_the_reference_trains(model):
    """After a call of the reference, the policy is active, and the reference is frozen again."""
    configure_reference(model, settings(adapter_from="somewhere"))
    logits_of(model)

    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert {"default"} == {name.split(".")[-2] for name in trained}


def test_the_copy_is_no_part_of_what_is_made(model):
    """Once training is over, one adapter is left, and asking twice does no harm."""
    drop_reference(model)
    drop_reference(model)

    assert ["default"] == list(model.peft_config)
