"""Configurations of published models, as their ``config.json`` has them; only what a memory forecast reads."""

LLAMA_3_8B = {
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
}
