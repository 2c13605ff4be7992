"""The dimensions of a model, and how many weights it has, from its configuration alone.

Only types of model are supported whose every weight is known here; the tests build each of them on PyTorch's meta
device and compare the counts. For any other type the answer is None, and never a guess.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import ConfigDict, Field

from ftsdk.spec.base import Section


class Linear(NamedTuple):
    """One linear layer of a block."""

    name: str
    input_name: str
    """Layers with the same input share it in memory."""
    inputs: int
    outputs: int


class Architecture(Section):
    """The dimensions of a model that a forecast needs."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    layers: int
    """Blocks."""
    hidden: int
    """Width between the blocks."""
    intermediate: int
    """Width inside the feed-forward part, of all experts that one token sees."""
    queries: int
    """Width of all query heads together."""
    keys: int
    """Width of all key heads together; the values' are the same."""
    heads: int
    """Query heads."""
    gated: bool
    """Whether the feed-forward part multiplies two branches."""
    vocabulary: int
    """Rows of the embedding."""
    linears: tuple[Linear, ...]
    """The linear layers of one block, which quantization packs and adapters extend."""
    head: int
    """Weights of the output head that it does not share with the embedding."""
    # The alias is the key in stored plans.
    remaining_weights: int = Field(validation_alias="others", serialization_alias="others")
    """All further weights: embedding, norms, biases, experts that are no linear layers."""
    positions: int | None = None
    """Tokens of the longest row that the model supports. None: the configuration does not state it."""
    bare_head: bool = True
    """Whether logits are hidden states times the head and nothing else; only then can a loss take them in chunks."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Architecture | None":
        """Read the dimensions from a model's ``config.json``; None where its type is not known."""
        family = _FAMILIES.get(str(config.get("model_type")))
        try:
            architecture = None if family is None else _read(family, config)
        except (ArithmeticError, KeyError, TypeError, ValueError):
            return None
        return architecture if architecture is not None and architecture.is_plausible else None

    @property
    def is_plausible(self) -> bool:
        """Whether every size is positive, so that a forecast can be computed."""
        sizes = (self.layers, self.hidden, self.intermediate, self.queries, self.keys, self.heads, self.vocabulary)
        return min(sizes) > 0

    @property
    def linear_weights(self) -> int:
        """Weights that quantization packs."""
        return self.layers * sum(linear.inputs * linear.outputs for linear in self.linears)

    @property
    def other_weights(self) -> int:
        """All others, which are never quantized."""
        return self.head + self.remaining_weights

    @property
    def weights(self) -> int:
        """All weights."""
        return self.linear_weights + self.other_weights


class _Family(NamedTuple):
    """The differences of a type of model from Llama."""

    needs: tuple[str, ...] = ("num_key_value_heads",)
    """Fields that a configuration must have, because their defaults differ from Llama's."""
    tied: bool = False
    """Whether embedding and head are one matrix if the configuration does not state it."""
    norms: int = 2
    """Of a block, each of the hidden width."""
    norm_parts: int = 1
    """2: norms have a bias beside their weight."""
    head_norms: str = ""
    """Norms of queries and keys: for a ``head``, or for ``all`` heads together."""
    joined: bool = False
    """Whether q, k and v are one linear layer, and gate and up another."""
    plain: tuple[str, ...] = ()
    """Names of the output of attention and of two feed-forward layers, where there is no gate."""
    biases: str = ""
    """Letters of the layers that always have one: ``qkv``, or ``*`` for all; else as the configuration states."""
    head_bias: bool = False
    experts: bool = False
    """Whether it has experts, which are no linear layers in Transformers 5 but stacked tensors."""
    expert_size: str = "intermediate_size"


_GROUPED = ("num_key_value_heads", "head_dim")
_FAMILIES: Mapping[str, _Family] = {
    "llama": _Family(needs=()),
    "mistral": _Family(),
    "granite": _Family(),
    "qwen2": _Family(biases="qkv"),
    "qwen3": _Family(needs=_GROUPED, head_norms="head"),
    "smollm3": _Family(tied=True),
    "olmo2": _Family(head_norms="all"),
    "gemma": _Family(needs=_GROUPED, tied=True),
    "gemma2": _Family(needs=_GROUPED, tied=True, norms=4),
    "gemma3_text": _Family(needs=_GROUPED, tied=True, norms=4, head_norms="head"),
    "phi3": _Family(joined=True),
    "phi": _Family(needs=(), norms=1, norm_parts=2, plain=("dense", "fc1", "fc2"), biases="*", head_bias=True),
    "starcoder2": _Family(tied=True, norm_parts=2, plain=("o_proj", "c_fc", "c_proj"), biases="*"),
    "mixtral": _Family(experts=True),
    "qwen3_moe": _Family(needs=_GROUPED, head_norms="head", experts=True, expert_size="moe_intermediate_size"),
    "gpt2": _Family(needs=(), tied=True, norm_parts=2, joined=True, plain=("c_proj", "c_fc", "c_proj"), biases="*"),
}
"""From ``model_type`` to its differences."""

_GPT2 = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}


def _read(family: _Family, model_config: Mapping[str, Any]) -> Architecture | None:
    config = {**{name: model_config[old] for name, old in _GPT2.items() if old in model_config}, **model_config}
    if any(config.get(name) is None for name in family.needs) or _mixed(config):
        return None
    layers, hidden, heads = (int(config[name]) for name in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    width = int(config.get("head_dim") or hidden // heads)
    queries, keys = heads * width, int(config.get("num_key_value_heads") or heads) * width
    intermediate = int(config.get("n_inner") or 4 * hidden) if "n_embd" in config else int(config[family.expert_size])
    linears = tuple(_linears(family, hidden, queries, keys, intermediate))
    vocabulary = int(config["vocab_size"])
    norms = family.norms * layers + 1
    small = hidden * family.norm_parts * norms
    small += layers * {"": 0, "head": 2 * width, "all": queries + keys}[family.head_norms]
    small += layers * sum(linear.outputs for linear in linears if _has_bias(family, config, linear))
    small += hidden * int(config.get("n_positions", 0))  # GPT-2 learns an embedding of each position
    if family.experts:
        count = int(config["num_local_experts"] if "num_local_experts" in config else config["num_experts"])
        small += layers * count * (3 * hidden * intermediate + hidden)  # and a row of the router each
        intermediate *= int(config["num_experts_per_tok"])
    tied = config.get("tie_word_embeddings")
    tied = family.tied if tied is None else bool(tied)
    return Architecture(
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        queries=queries,
        keys=keys,
        heads=heads,
        gated=not family.plain,
        vocabulary=vocabulary,
        linears=linears,
        head=(0 if tied else vocabulary * hidden) + (vocabulary if family.head_bias else 0),
        bare_head=not (
            family.head_bias or config.get("final_logit_softcapping") or config.get("logits_scaling", 1.0) != 1.0
        ),
        remaining_weights=vocabulary * hidden + small,
        positions=config.get("max_position_embeddings", config.get("n_positions")),
    )


def _mixed(config: Mapping[str, Any]) -> bool:
    """Whether blocks differ from each other."""
    return bool(config.get("mlp_only_layers")) or config.get("decoder_sparse_step", 1) != 1


def _linears(family: _Family, hidden: int, queries: int, keys: int, intermediate: int) -> Iterable[Linear]:
    if family.joined and family.plain:
        yield Linear("c_attn", "block", hidden, queries + 2 * keys)
    elif family.joined:
        yield Linear("qkv_proj", "block", hidden, queries + 2 * keys)
    else:
        yield Linear("q_proj", "block", hidden, queries)
        yield Linear("k_proj", "block", hidden, keys)
        yield Linear("v_proj", "block", hidden, keys)
    output, *feed_forward = family.plain or ("o_proj", "", "")
    yield Linear(output, "heads", queries, hidden)
    if family.experts:
        return
    if family.plain:
        yield Linear(feed_forward[0], "middle", hidden, intermediate)
        yield Linear(feed_forward[1], "inside", intermediate, hidden)
        return
    if family.joined:
        yield Linear("gate_up_proj", "middle", hidden, 2 * intermediate)
    else:
        yield Linear("gate_proj", "middle", hidden, intermediate)
        yield Linear("up_proj", "middle", hidden, intermediate)
    yield Linear("down_proj", "inside", intermediate, hidden)


def _has_bias(family: _Family, config: Mapping[str, Any], linear: Linear) -> bool:
    """Whether a layer has a bias: always in its family, or by the configuration."""
    if family.biases == "*":
        return bool(config.get("use_bias", True))
    if linear.name[0] in family.biases and linear.name.endswith("_proj") and linear.name != "qkv_proj":
        return True
    field = "attention_bias" if linear.name[0] in "qkvo" else "mlp_bias"
    return bool(config.get(field, False))
