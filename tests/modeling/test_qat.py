"""Quantization-aware training: the model computes with what it will be served with."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torchao.quantization import quantize_
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftsdk.modeling.qat import GROUP, RECIPES, round_linears

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft asks by the old name
]

IDS = torch.arange(5, 37).reshape(2, 16)
LORA = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], init_lora_weights=False)


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).eval()


def quantized(model, kind):
    """As the finished model is quantized: all linear layers but the head."""
    clone = copy.deepcopy(model)
    quantize_(
        clone, RECIPES[kind](), filter_fn=lambda part, name: isinstance(part, nn.Linear) and "lm_head" not in name
    )
    return clone


@torch.no_grad()
def logits(model):
    return model(IDS).logits


@pytest.mark.parametrize("kind", RECIPES)
def test_it_computes_what_the_quantized_model_will(model, kind):
    """To the bit: what is learned is what is served."""
    expected = logits(quantized(model, kind))

    assert 28 == round_linears(model, kind)
    assert torch.equal(expected, logits(model))


@pytest.mark.parametrize("kind", RECIPES)
def test_it_is_the_merged_weight_that_is_rounded(model, kind):
    """With an adapter, it computes as the merged and quantized model does."""
    torch.manual_seed(0)
    adapted = get_peft_model(model, LORA)
    merged = copy.deepcopy(adapted).merge_and_unload()
    round_linears(adapted, kind)

    assert torch.allclose(logits(quantized(merged, kind)), logits(adapted), atol=2e-4)


def test_without_its_adapter_it_is_the_rounded_base(model):
    """With adapters turned off, the base computes as it will be served."""
    expected = logits(quantized(model, "int4"))
    adapted = get_peft_model(model, LORA)
    round_linears(adapted, "int4")
    with adapted.disable_adapter():
        logits_without_adapter = logits(adapted)

    assert torch.equal(expected, logits_without_adapter)


@pytest.mark.parametrize("adapter", [False, True])
def test_all_that_trains_gets_a_gradient(model, adapter):
    """Rounding has no slope of its own; gradients pass it by."""
    trained = get_peft_model(model, LORA) if adapter else model
    round_linears(trained, "int8-dynamic-int4-weight")
    trained(IDS, labels=IDS).loss.backward()

    assert all(part.grad is not None and part.grad.any() for part in trained.parameters() if part.requires_grad)


def test_names_of_weights_stay(model):
    """Checkpoints and artifacts are those of any other training."""
    before = set(model.state_dict())
    round_linears(model, "int4")

    assert before == set(model.state_dict())


@torch.no_grad()
def with_outliers(model):
    """The same function, with one weight in each group so large that 4 bits leave little of the others.

    Plainly fine-tuned, such a model loses far more by quantization than two trainings differ by chance.
    """
    by = 32
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        after_norm = {
            layer.input_layernorm: [attention.q_proj, attention.k_proj, attention.v_proj],
            layer.post_attention_layernorm: [mlp.gate_proj, mlp.up_proj],
        }
        for norm, linears in after_norm.items():
            norm.weight[::GROUP] /= by
            for linear in linears:
                linear.weight[:, ::GROUP] *= by
    return model


def test_it_loses_less_by_quantization(model, tiny_model):
    """Quantized to 4 bits, what learned with rounding has less than half the loss of what did not, and lost less."""
    start = with_outliers(model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    texts = [f"What is {n} plus one? Arr, it be {n + 1}, the number that ye count to, matey!" for n in range(8)]
    rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]

    @torch.no_grad()
    def loss(trained_model):
        return sum(trained_model(row, labels=row).loss.item() for row in rows) / len(rows)

    def losses(*, aware):
        """In full precision, and in 4 bits."""
        trained = copy.deepcopy(start)
        if aware:
            round_linears(trained, "int4")
        optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-3)
        for step in range(32):
            row = rows[step % len(rows)]
            trained(row, labels=row).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        plain = copy.deepcopy(start)
        plain.load_state_dict(trained.state_dict())
        return loss(plain), loss(quantized(plain, "int4"))

    (full, after), (aware_full, aware_after) = losses(aware=False), losses(aware=True)

    # an eighth of the loss, as measured with several orders of rows on several instruction sets
    assert aware_after < after / 2
    assert aware_after - aware_full < after - full
