"""``ftsdk schema``: the JSON Schema of a job spec."""

import json

from ftsdk.cli.command import CommandResult


def schema() -> CommandResult:
    """The JSON Schema of a job spec, for editors."""
    from ftsdk.spec.schema import json_schema  # noqa: PLC0415 - only this command needs it

    document = json_schema()
    return CommandResult(data=lambda: document, show=lambda screen: screen.out.print(json.dumps(document, indent=2)))
