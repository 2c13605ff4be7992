"""The command line: one thin function for each verb."""

from ftsdk.cli.program import app, main

__all__ = ["app", "main"]
