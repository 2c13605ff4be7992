"""Four roles share one base, and none of them touches another's weights."""

from contextlib import nullcontext

import pytest
import torch
from tiny_models import tiny

from ftsdk.modeling.batches import Example, lay_end_to_end
from ftsdk.modeling.memory import MicroBatch
from ftsdk.modeling.objective import Route, find_route
from ftsdk_local.settings import Settings
from ftsdk_local.train.ppo.actor import Actor
from ftsdk_local.train.ppo.roles import POLICY, REFERENCE, VALUE, Roles

pytestmark = [
    pytest.mark.engine,
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]

LORA = {
    "r": 4,
    "lora_alpha": 8,
    "lora_dropout": 0.0,
    "target_modules": "all-linear",
    "task_type": "CAUSAL_LM",
    "bias": "none",
    "init_lora_weights": True,
}
ROW = Example(*[torch.arange(3, 23).int().numpy()] * 2)


def settings_with(**lora):
    """Of the plan, only what roles read."""
    return Settings.model_construct(lora={**LORA, **lora}, adapter_from=None)


@pytest.fixture
def roles():
    torch.manual_seed(0)
    return Roles(tiny("Llama"), settings_with())


@pytest.fixture
def actor(roles):
    route = find_route(roles.base, [ROW])
    return Actor(
        roles, route, micro_batch=MicroBatch(512), sampling=MicroBatch(512, 8), autocast=nullcontext, warn=print
    )


def log_probs(actor, role):
    with actor.roles.active_adapter(role), torch.no_grad():
        return actor.log_probs(lay_end_to_end([ROW]), 1.0).log_probs_N


def perturb(roles, role):
    """Give a role's adapter weights of its own."""
    with torch.no_grad():
        for weight in roles.weights(role).values():
            weight.add_(torch.randn_like(weight) * 0.1)


def test_there_is_one_base():
    """All roles together hold no weight that is not the base's or an adapter's."""
    base = tiny("Llama")
    expected = sum(weight.nbytes for weight in base.parameters())

    roles = Roles(base, settings_with())

    actual = sum(weight.nbytes for name, weight in roles.model.named_parameters() if "lora_" not in name)
    assert actual == expected


def test_the_reference_is_the_base_itself(actor):
    """Whatever policy and value have learned, the reference gives the numbers of the base."""
    plain = actor.log_probs(lay_end_to_end([ROW]), 1.0).log_probs_N.detach()
    perturb(actor.roles, POLICY)
    perturb(actor.roles, VALUE)

    assert torch.equal(log_probs(actor, REFERENCE), plain)
    assert not torch.allclose(log_probs(actor, POLICY), plain)


def test_a_start_that_changes_the_base_has_a_reference_of_its_own(actor):
    """PiSSA moves a part of each weight into the adapter; together they always give the numbers of the base."""
    plain = actor.log_probs(lay_end_to_end([ROW]), 1.0).log_probs_N.detach()
    split = Actor(
        Roles(tiny("Llama"), settings_with(init_lora_weights="pissa")),
        actor.route,
        micro_batch=actor.micro_batch,
        sampling=actor.sampling,
        autocast=actor.autocast,
        warn=print,
    )
    split.roles.base.set_attn_implementation(actor.route.attention)
    perturb(split.roles, POLICY)

    assert torch.allclose(log_probs(split, REFERENCE), plain, atol=1e-4)
    assert not torch.allclose(log_probs(split, POLICY), plain, atol=1e-4)


def test_at_first_policy_and_reference_agree_to_the_bit(actor):
    """A new adapter adds nothing, so the first ratio is exactly 1 and the first KL exactly 0."""
    assert torch.equal(log_probs(actor, POLICY), log_probs(actor, REFERENCE))


def test_at_first_every_value_is_zero(actor):
    """Every value is 0 before anything is learned."""
    with actor.roles.active_adapter(VALUE):
        assert actor.values(lay_end_to_end([ROW])).abs().max() == 0


@pytest.mark.parametrize(("role", "inactive"), [(POLICY, VALUE), (VALUE, POLICY)])
def test_gradients_reach_the_role_that_is_played(actor, role, inactive):
    """Learning as one role leaves the other, and the base, without gradient."""
    perturb(actor.roles, VALUE)
    bin_ = lay_end_to_end([ROW])
    with actor.roles.active_adapter(role):
        outputs = actor.values(bin_) if role == VALUE else actor.log_probs(bin_, 1.0).log_probs_N
        outputs.sum().backward()

    own_weights = {id(weight) for weight in actor.roles.weights(role).values()}
    every = [*actor.roles.model.parameters(), actor.roles.value_head.weight]
    with_gradient = {id(weight) for weight in every if weight.grad is not None}
    assert with_gradient == own_weights


def test_dropout_is_off(actor):
    """A model with dropout gives the same response the same probability each time, also while it learns."""
    model = tiny("Llama", attention_dropout=0.5)
    roles = Roles(model, settings_with())
    model.train()
    actor = Actor(
        roles,
        Route("sdpa", end_to_end=False, bare_head=True),
        micro_batch=MicroBatch(512, 1),
        sampling=MicroBatch(512, 8),
        autocast=actor.autocast,
        warn=print,
    )

    assert torch.equal(log_probs(actor, POLICY), log_probs(actor, POLICY))
