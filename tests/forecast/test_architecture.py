"""Weights are counted from the configuration as PyTorch counts them, or not at all."""

import pytest

from ftsdk.forecast import Architecture
from ftsdk.translation.model_folder_checks import model_problems

SIZE = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2 = {"vocab_size": 1000, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 128, "bos_token_id": 1}
MODELS = [
    ("llama", {}),
    ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 32}),
    ("mistral", {}),
    ("granite", {"attention_bias": True, "mlp_bias": True}),
    ("qwen2", {}),
    ("qwen2", {"tie_word_embeddings": True}),
    ("qwen3", {"head_dim": 32}),
    ("qwen3", {"head_dim": 32, "attention_bias": True}),
    ("smollm3", {}),
    ("olmo2", {}),
    ("olmo2", {"attention_bias": True}),
    ("gemma", {"head_dim": 32}),
    ("gemma2", {"head_dim": 32}),
    ("gemma3_text", {"head_dim": 32}),
    ("phi", {}),
    ("phi3", {}),
    ("starcoder2", {}),
    ("starcoder2", {"use_bias": False}),
    ("mixtral", {"num_local_experts": 4}),
    ("qwen3_moe", {"head_dim": 32, "num_experts": 4, "moe_intermediate_size": 96, "attention_bias": True}),
    ("gpt2", {}),
    ("gpt2", {"n_inner": 200}),
]


def build_model(kind, changes):
    """The model on the meta device, without any weights in memory, and its configuration."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    size = GPT2 if kind == "gpt2" else SIZE
    config = transformers.AutoConfig.for_model(kind, **{**size, **changes})
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config), config.to_dict()


@pytest.mark.parametrize(("kind", "changes"), MODELS)
def test_counts_are_those_of_the_model(kind, changes):
    """All weights, those that quantization packs, the head's, and each layer's name and size."""
    model, config = build_model(kind, changes)
    head = model.get_output_embeddings()
    linears = [
        (name.rpartition(".")[2], layer)
        for name, layer in model.named_modules()
        if type(layer).__name__ in ("Linear", "Conv1D") and layer is not head
    ]
    total = sum(weight.numel() for weight in model.parameters())

    architecture = Architecture.from_config(config)

    assert (total, sum(layer.weight.numel() for _, layer in linears)) == (
        architecture.weights,
        architecture.linear_weights,
    )
    assert sorted((name, layer.weight.numel()) for name, layer in linears) == sorted(
        (linear.name, linear.inputs * linear.outputs) for linear in architecture.linears * architecture.layers
    )
    tied = head.weight is model.get_input_embeddings().weight
    assert architecture.head == (0 if tied else sum(weight.numel() for weight in head.parameters()))


@pytest.mark.parametrize(("kind", "changes"), MODELS)
def test_a_saved_model_lacks_nothing(kind, changes, tmp_path):
    """No layer of any known type is missed in its files, whatever they call it."""
    transformers = pytest.importorskip("transformers")
    size = GPT2 if kind == "gpt2" else SIZE
    config = transformers.AutoConfig.for_model(kind, **{**size, **changes})
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)

    assert ["holds no tokenizer"] == [
        entry.what.partition(f"{tmp_path} ")[2] for entry in model_problems(str(tmp_path))
    ]


@pytest.mark.parametrize(
    "config",
    [
        {**SIZE, "model_type": "gpt_neox"},
        {**SIZE, "model_type": "qwen3"},
        {**SIZE, "model_type": "mistral", "num_key_value_heads": None},
        {**SIZE, "model_type": "llama", "hidden_size": "wide"},
        {**SIZE, "model_type": "qwen3_moe", "head_dim": 32, "num_experts": 4, "mlp_only_layers": [0]},
        {**SIZE, "model_type": "llama", "hidden_size": -64},
        {**SIZE, "model_type": "llama", "num_attention_heads": 0},
        {"model_type": "llama"},
        SIZE,
    ],
    ids=[
        "type",
        "no head_dim",
        "no key heads",
        "no number",
        "mixed blocks",
        "less than nothing",
        "no heads",
        "nothing",
        "no type",
    ],
)
def test_what_is_not_known_is_not_guessed(config):
    """A model of another type, or whose configuration leaves a size to a default, gets no forecast."""
    assert Architecture.from_config(config) is None


@pytest.mark.parametrize(
    ("kind", "changes", "bare"),
    [
        ("llama", {}, True),
        ("gemma2", {"head_dim": 32, "final_logit_softcapping": 30.0}, False),
        ("gemma3_text", {"head_dim": 32, "final_logit_softcapping": None}, True),
        ("granite", {"logits_scaling": 8.0}, False),
        ("phi", {}, False),
    ],
)
def test_heads_that_do_more(kind, changes, bare):
    """A cap, a scale or a bias on the logits is seen."""
    assert bare == Architecture.from_config({**SIZE, "model_type": kind, **changes}).bare_head
