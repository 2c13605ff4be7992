"""Settings that Replicate alone has: ``backend_options.replicate`` in the spec."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ftsdk.remote.backend import RemoteOptions
from ftsdk_replicate.profile import FieldName, Fields, RowFormat, Values

Slug = r"[a-z0-9][a-z0-9._-]{0,62}"


class ReplicateOptions(RemoteOptions):
    """What a spec does not say, because only Replicate has it."""

    trainer: Annotated[str, Field(pattern=rf"^{Slug}/{Slug}(:[0-9a-f]{{64}})?$")] | None = None
    """The model whose version trains: ``owner/name:version``. Without a version, the newest; the plan pins it."""
    destination: Annotated[str, Field(pattern=rf"^{Slug}/{Slug}$")] | None = None
    """Your model that the result becomes a version of: ``owner/name``."""
    create_destination: bool = False
    """Create the destination, private, where it does not exist."""
    hardware: str | None = None
    """The hardware of a destination that is created, such as ``gpu-t4``. It does not change what trains."""
    profile: str | None = None
    """A file with the meaning of the trainer's inputs; see docs/backends/replicate.md."""
    data_format: RowFormat | None = None
    """The format of rows that the trainer reads; over the profile's."""
    field_map: Fields = {}
    """From an input of the trainer to a field of the spec; over the profile's."""
    value_map: Values = {}
    """From an input to its words for values of the spec; over the profile's."""
    constants: dict[FieldName, JsonValue] = {}
    """Inputs with a fixed value; over the profile's."""
    facts: dict[str, JsonValue] = {}
    """What the trainer always does, by fields of the spec, such as ``model`` or ``method.train_on``."""
    secrets: dict[FieldName, Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{2,63}$")]] = {}
    """From an input to the environment variable of its value. Replicate shows inputs to whoever has the key."""
    assume_schema: str | None = None
    """A JSON file with the trainer's ``TrainingInput``, for trainers that publish none."""
    rows_url: Annotated[str, Field(pattern=r"^https://[^\s#]+$")] | None = None
    """Rows that are on the web already, in the trainer's format; nothing is uploaded then."""
    webhook: Annotated[str, Field(pattern=r"^https://\S+$")] | None = None
    """An address that Replicate sends the training's events to."""
    webhook_events_filter: tuple[Literal["start", "output", "logs", "completed"], ...] = ("completed",)
    """The events that it is sent; ``logs`` sends all logs each time."""
