"""What every part of a spec has in common."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import Annotated, Any, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from ftsdk.errors import Problem, SpecError, nearest
from ftsdk.spec.validation_messages import NO_SUCH_FIELD, problems_of

_LARGEST_INTEGER = 2**53  # every reader of JSON keeps whole numbers up to this one exactly


def _path_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, PurePath) else value


Place = Annotated[str, BeforeValidator(_path_as_text, json_schema_input_type=str), Field(min_length=1)]
"""A path, as text or as a path of :mod:`pathlib`; or another name of a location."""


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
    def _check_numbers(cls, content: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse what Pydantic accepts: ``early_stopping_patience: true``, read as 1, and endless whole numbers."""
        section = validate(content)
        fields = content if isinstance(content, dict) else {}
        messages = {name: _number_problem(fields[name], getattr(section, name, None)) for name in fields}
        problems = [Problem(name, message) for name, message in messages.items() if message]
        if problems:
            raise SpecError("these values are not valid numbers", problems=problems)
        return section


class SpecSection(Section):
    """A part of a spec, which people write by hand.

    Raises:
        SpecError: From its own call, with one problem for each field; ``model_validate`` raises Pydantic's error, for
            models and web frameworks that hold a spec.
    """

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            problems = [_with_nearest(problem, type(self)) for problem in problems_of(error)]
        else:
            return
        # Raised outside of the handler: as its context, Pydantic's error would keep the values, which may be secrets.
        unknown = any(problem.what == NO_SUCH_FIELD for problem in problems)
        hint = "the names of other tools are understood by ftsdk.load_spec" if unknown else ""
        raise SpecError(f"this {type(self).__name__} is not valid", problems=problems, hint=hint)

    # A validator cannot raise SpecError: it is a ValueError, which Pydantic turns into its own error. So construction
    # is wrapped. Pydantic calls a custom __init__ for nested sections, too, and then loses the types of their errors,
    # unless the function has this mark, as those of BaseModel and RootModel have.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


def _with_nearest(problem: Problem, section: type[BaseModel]) -> Problem:
    """The problem with the name that was meant, where it is about a name."""
    if problem.what != NO_SUCH_FIELD:
        return problem
    *parents, name = problem.where.split(".")
    return problem._replace(fix=nearest(name, _fields_in(section, parents)))


def _fields_in(model: type[BaseModel], sections: Iterable[str]) -> Iterable[str]:
    """The fields of a section within a section; none where it may be of several kinds."""
    for section in sections:
        field = model.model_fields.get(section)
        annotation = field.annotation if field else None
        members = get_args(annotation) or (annotation,)
        models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
        if len(models) != 1:
            return ()
        (model,) = models
    return model.model_fields


def _number_problem(raw: Any, number: Any) -> str:
    """What is wrong with a field that was read as a number; empty for a good one, and for all other fields."""
    if isinstance(raw, bool) and type(number) in (int, float):
        return "expected a number, not true or false"
    if type(number) is int and abs(number) > _LARGEST_INTEGER:
        return "this number is too large"
    return ""
