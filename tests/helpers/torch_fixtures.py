"""Fixtures of tests that compute with torch in their own process; a conftest imports those that it wants."""

import pytest
import torch
from transformers import AutoTokenizer


@pytest.fixture(autouse=True)
def one_thread():
    """Compute on one thread, so that tests do not wait for each other's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tokenizer(tiny_model):
    """The tiny model's tokenizer, with the special tokens that the test templates use."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>", "<|stop|>", "[ASK]", "[/ASK]", "<bos>"]})
    return tokenizer
