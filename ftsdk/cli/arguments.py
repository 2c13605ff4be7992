"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Reference = Annotated[str, typer.Argument(metavar="REF", help="The job's reference, such as local:sft-7f3k2m.")]
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="A job spec: a YAML, TOML or JSON file.")]
ArtifactFolder = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="The artifact's folder.")]
ModelOutput = Annotated[Path, typer.Option("--output", "-o", help="The folder for the resulting model.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="FIELD=VALUE", help="Changes to the spec, such as training.max_steps=10."),
]
BackendName = Annotated[str | None, typer.Option("--backend", "-b", help="The backend to run on.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse the spec if any advice would be ignored.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job ends.")]
