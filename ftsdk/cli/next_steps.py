"""The commands that make sense next."""

from collections.abc import Iterable

from ftsdk.cli.console import Screen, pairs

_COMMANDS = {
    "follow": "ftsdk wait {ref}",
    "status": "ftsdk status {ref}",
    "logs": "ftsdk logs {ref}",
    "cancel": "ftsdk cancel {ref}",
    "resume": "ftsdk resume {ref}",
    "fetch": "ftsdk fetch {ref} out/",
}
_AFTER = {
    "succeeded": ("fetch",),
    "failed": ("logs", "resume"),
    "cancelled": ("resume",),
    "cancelling": ("follow",),
    "unknown": ("status",),
}
_WHILE_ACTIVE = ("follow", "logs", "cancel")
AFTER_SUBMISSION = ("follow", "status", "logs", "cancel", "fetch")


def show_steps(screen: Screen, ref: str, steps: Iterable[str]) -> None:
    """Print commands below a result, on stderr, so that a script reads the result alone."""
    screen.err.print()
    screen.err.print(pairs((f"  {step}", _COMMANDS[step].format(ref=ref)) for step in steps))


def steps_after(state: str) -> tuple[str, ...]:
    """The commands that make sense for a job in this state."""
    return _AFTER.get(state, _WHILE_ACTIVE)
