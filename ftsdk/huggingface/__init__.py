"""Hugging Face: pinned revisions, Jobs, Spaces, uploads, model cards, published artifacts."""
