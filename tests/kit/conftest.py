"""Fixtures: a Hub on this machine, and a user with a token for it."""

from hub_fixtures import backend, rows, service, spec  # noqa: F401 - fixtures
