"""Fixtures of the tests of what training and post-training share."""

from torch_fixtures import one_thread, tokenizer  # noqa: F401 - fixtures
