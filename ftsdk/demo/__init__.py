"""A first fine-tune in two minutes, offline: a tiny model that ships with the package learns to talk like a pirate."""

from ftsdk.demo.pipeline import run

__all__ = ["run"]
