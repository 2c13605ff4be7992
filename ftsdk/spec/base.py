"""What every part of a spec has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen model that knows its fields, refuses others, and never repeats a refused value in an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )
