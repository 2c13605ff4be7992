"""Check the imports of all packages against the rules in pyproject.toml, with the backends of its entry points.

import-linter has no patterns for names of packages. Therefore ``BACKENDS`` in a list is replaced by the packages of all
entry points ``ftsdk.backends`` outside the core, so that backends are listed in one place.
"""

import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

PLACEHOLDER = "BACKENDS"


def main() -> int:
    """The exit status: 0 if every rule is kept."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
    targets = project["project"]["entry-points"]["ftsdk.backends"].values()
    packages = sorted({target.partition(":")[0].partition(".")[0] for target in targets} - {"ftsdk"})
    rules = _expanded(project["tool"]["importlinter"], packages)
    with TemporaryDirectory() as folder:
        config = Path(folder) / ".importlinter.toml"
        config.write_text(_toml(rules), "utf-8")
        status = lint_imports(config_filename=str(config), no_cache=True)
    return 0 if status == EXIT_STATUS_SUCCESS else 1


def _expanded(value: Any, packages: list[str]) -> Any:
    """The rules with the packages in the place of the placeholder."""
    if isinstance(value, dict):
        return {key: _expanded(part, packages) for key, part in value.items()}
    if isinstance(value, list):
        return [item for part in value for item in (packages if part == PLACEHOLDER else [_expanded(part, packages)])]
    return value


def _toml(rules: dict[str, Any]) -> str:
    """The rules as the file that import-linter reads: JSON's strings, lists and booleans are TOML's."""
    import json  # noqa: PLC0415

    lines = ["[tool.importlinter]"]
    contracts = rules.pop("contracts")
    lines += [f"{key} = {json.dumps(value)}" for key, value in rules.items()]
    for contract in contracts:
        lines += [
            "[[tool.importlinter.contracts]]",
            *(f"{key} = {json.dumps(value)}" for key, value in contract.items()),
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
