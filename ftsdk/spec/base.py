"""What every part of a spec has in common."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator

from ftsdk.errors import Problem, SpecError

_LARGEST = 2**53  # the largest whole number that every reader of JSON keeps exactly


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

    @model_validator(mode="wrap")
    @classmethod
    def _check_numbers(cls, given: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse what Pydantic lets pass: ``early_stopping_patience: true``, read as 1, and endless whole numbers."""
        section = read(given)
        fields = given if isinstance(given, dict) else {}
        wrong = [Problem(name, what) for name in fields if (what := _flaw(fields[name], getattr(section, name, None)))]
        if wrong:
            raise SpecError("these are no numbers to work with", problems=wrong)
        return section


def _flaw(given: Any, number: Any) -> str:
    """What is wrong with a field that was read as a number; empty for a good one, and for all other fields."""
    if isinstance(given, bool) and type(number) in (int, float):
        return "expected a number, not true or false"
    if type(number) is int and abs(number) > _LARGEST:
        return "this number is too large"
    return ""
