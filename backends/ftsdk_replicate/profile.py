"""A trainer profile: the meaning of a trainer's inputs, which its schema cannot express. A small file to share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, JsonValue, ValidationError

from ftsdk.errors import ConfigError, Problem
from ftsdk.spec import Section

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
RowFormat = Literal["text", "prompt_completion", "messages", "preference"]
Fields = dict[FieldName, str]
Values = dict[FieldName, dict[str, JsonValue]]


class Profile(Section):
    """The meaning of one trainer's inputs."""

    trainer: str | None = None
    """``owner/name``, for readers."""
    versions: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    """Versions that it is true of. None: of any whose inputs have ``schema_sha256``."""
    schema_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The hash of the ``TrainingInput`` that it was written for, as a plan shows it."""
    data_format: RowFormat | None = None
    """The format of rows that the trainer reads."""
    field_map: Fields = {}
    """From an input to a field of the spec, such as ``train_batch_size: training.global_batch_size``."""
    value_map: Values = {}
    """From an input to its words for values of the spec: ``peft_method: {nf4: qlora, none: lora}``."""
    constants: dict[FieldName, JsonValue] = {}
    """Inputs with a fixed value: ``run_validation: false``."""
    facts: dict[str, JsonValue] = {}
    """What the trainer always does: ``model: meta-llama/Llama-2-7b-hf``, ``method.train_on: all``."""


def read_profile(path: str) -> Profile:
    """Read a profile.

    Raises:
        ConfigError: There is none, or it is not valid.
    """
    where = f"backend_options.replicate.profile={path}"
    try:
        profile: Any = yaml.safe_load(Path(path).expanduser().read_text("utf-8"))
        return Profile.model_validate(profile)
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}", hint="give a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is no YAML: {error}", hint="see docs/backends/replicate.md") from error
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, detail["loc"])), detail["msg"]) for detail in error.errors(include_input=False)
        ]
        raise ConfigError(f"{where} is no trainer profile", problems=problems) from error
