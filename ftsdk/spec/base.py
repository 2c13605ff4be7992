"""What every part of a spec has in common."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Self, get_args

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

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # Pydantic gives its metaclass no public name

_LARGEST = 2**53  # the largest whole number that every reader of JSON keeps exactly


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, PurePath) else value


Place = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str), Field(min_length=1)]
"""A path, as text or as a path of :mod:`pathlib`; or another name of a place."""


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


class _Told(ModelMetaclass):
    """Building a section in Python fails as a file does: with the field, and without its value."""

    def __call__(cls: type[BaseModel], *args: Any, **fields: Any) -> Any:  # type: ignore[misc]  # noqa: N805
        try:
            return super().__call__(*args, **fields)  # type: ignore[misc]
        except ValidationError as error:
            problems = [_with_nearest(problem, cls) for problem in problems_of(error)]
        # out here, so that no context keeps the values
        unknown = any(problem.what == NO_SUCH_FIELD for problem in problems)
        hint = "the names of other tools are understood by ftsdk.load_spec" if unknown else ""
        raise SpecError(f"this {cls.__name__} is not valid", problems=problems, hint=hint)


class SpecSection(Section, metaclass=_Told):
    """A part of a spec, which people write by hand.

    Raises:
        SpecError: From its own call, with one problem for each field; ``model_validate`` raises Pydantic's error, for
            models and web frameworks that hold a spec.
    """


def _with_nearest(problem: Problem, kind: type[BaseModel]) -> Problem:
    """The problem with the name that was meant, where it is about a name."""
    if problem.what != NO_SUCH_FIELD:
        return problem
    *sections, name = problem.where.split(".")
    return problem._replace(fix=nearest(name, _fields_in(kind, sections)))


def _fields_in(kind: type[BaseModel], sections: Iterable[str]) -> Iterable[str]:
    """The fields of a section within a section; none where it may be of several kinds."""
    for section in sections:
        field = kind.model_fields.get(section)
        said = field.annotation if field else None
        kinds = [each for each in get_args(said) or (said,) if isinstance(each, type) and issubclass(each, BaseModel)]
        if len(kinds) != 1:
            return ()
        (kind,) = kinds
    return kind.model_fields


def _flaw(given: Any, number: Any) -> str:
    """What is wrong with a field that was read as a number; empty for a good one, and for all other fields."""
    if isinstance(given, bool) and type(number) in (int, float):
        return "expected a number, not true or false"
    if type(number) is int and abs(number) > _LARGEST:
        return "this number is too large"
    return ""
