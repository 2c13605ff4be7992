"""Account for every field of a spec while a backend translates it, so that none is dropped in silence."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.backend import PlanNote
from ftsdk.errors import Problem, UnsupportedSpec
from ftsdk.spec import ADVICE, BOOKKEEPING, JobSpec, Section

_EMPTY: tuple[Any, ...] = (None, (), {})


class RequiredValue(NamedTuple):
    """The only value of a field that a system supports."""

    value: Any
    reason: str
    """Why any other is refused; where the user left the field blank, what the system does instead of our default."""
    fix: str = ""


def set_fields(section: Section, prefix: str = "") -> Iterator[str]:
    """The dotted names of all fields that the user set, such as ``training.packing``, also inside sections.

    A field set to an empty default (None, an empty list) does not count.
    """
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        # A spec that was written out in full and read back sets every field, most of them to an empty default: nobody
        # meant to ask for those.
        if name not in section.model_fields_set or (value in _EMPTY and value == field.default):
            continue
        if isinstance(value, Section):
            yield from set_fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


class Ledger:
    """The field accounting of one translation: each field is used, ignored or refused; the rest is found at the end.

    A translation calls :meth:`use` for each field that it sends, :meth:`refuse` for what the system does not support,
    and :meth:`ignore` for advice that it does not pass on. :meth:`close` compares these with the fields that the user
    set, and raises one error that names all refused and all forgotten ones. So a field that is added to the spec later
    is refused by every backend until its translation says what becomes of it.

    Args:
        backend: The backend's name, for the error.
        spec: The spec to translate.
        strict: Refuse advice that would be ignored.
    """

    def __init__(self, backend: str, spec: JobSpec, *, strict: bool = False) -> None:
        self.backend = backend
        self.spec = spec
        self.strict = strict
        self.honoured: dict[str, str] = {}
        self.set_aside: list[PlanNote] = []
        self.backend_defaults: list[PlanNote] = []
        self.set_fields = frozenset(set_fields(spec))
        self.problems: list[Problem] = []

    def value(self, field: str) -> Any:
        """The resolved value of a dotted field; None where a section on the way is None."""
        value: Any = self.spec
        for part in field.split("."):
            value = None if value is None else getattr(value, part)
        return value

    def use(self, field: str, native: str = "") -> Any:
        """Honour a field under its native name, and return its value."""
        self.honoured[field] = native or field.rpartition(".")[2]
        return self.value(field)

    def refuse(self, field: str, reason: str, fix: str = "") -> None:
        """Refuse a field; the translation continues, so that one error names all of them."""
        self.problems.append(Problem(field, reason, fix))

    def ignore(self, field: str, reason: str) -> None:
        """Set a piece of advice aside, with the reason; intent cannot be ignored, only refused."""
        if self.strict or field.split(".", maxsplit=1)[0] not in ADVICE:
            self.refuse(field, reason)
        else:
            self.set_aside.append(PlanNote(field, reason))

    def has(self, field: str) -> bool:
        """Whether the spec has the field at all: its section may be None, or another type of method."""
        value: Any = self.spec
        for part in field.split("."):
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True

    def is_set(self, field: str) -> bool:
        """Whether the user set it, or something in it."""
        return any(name == field or name.startswith(f"{field}.") for name in self.set_fields)

    def require_values(self, table: Mapping[str, RequiredValue]) -> None:
        """Use fields that have the required value; refuse others that the user set, and note those left blank."""
        for field, required in table.items():
            if not self.has(field):
                continue
            if self.value(field) == required.value:
                self.use(field, "as it is")
            elif self.is_set(field):
                self.refuse(field, required.reason, required.fix)
            else:
                self.backend_defaults.append(PlanNote(field, required.reason))

    def refuse_unsendable(self, table: Mapping[str, str]) -> None:
        """Refuse fields that the system has no setting for and that the user set; note those left blank."""
        for field, reason in table.items():
            if self.is_set(field):
                self.refuse(field, reason, "leave it out")
            elif self.has(field):
                self.backend_defaults.append(PlanNote(field, reason))

    def ignore_advice(self, table: Mapping[str, str], otherwise: str) -> None:
        """Ignore all advice that the user gave and that is not accounted for yet.

        Args:
            table: From a field to the reason.
            otherwise: The reason for other fields.
        """
        for field in sorted(self.set_fields):
            if field.split(".", maxsplit=1)[0] in ADVICE and not _covers(self._accounted(), field):
                self.ignore(field, table.get(field, otherwise))

    def close(self) -> None:
        """End the translation.

        Raises:
            UnsupportedSpec: Fields were refused, or the user set a field that the translation did not account for.
        """
        accounted = self._accounted()
        for field in sorted(self.set_fields):
            if field.split(".")[0] not in BOOKKEEPING and not _covers(accounted, field):
                self.ignore(field, f"{self.backend} has no setting for it")
        if self.problems:
            raise UnsupportedSpec(self.backend, self.problems)

    def _accounted(self) -> set[str]:
        ignored = (note.field for note in self.set_aside)
        refused = (problem.where for problem in self.problems)
        return {*self.honoured, *ignored, *refused}


def _covers(accounted: set[str], field: str) -> bool:
    """Whether the field, or a section that holds it, is accounted for."""
    parts = field.split(".")
    return any(".".join(parts[:depth]) in accounted for depth in range(1, len(parts) + 1))
