"""Account for every field of a spec while a backend translates it, so that nothing is dropped in silence."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ftsdk.backend import PlanNote
from ftsdk.errors import Problem, UnsupportedSpec
from ftsdk.spec import ADVICE, BOOKKEEPING, JobSpec, Section

_NOTHING: tuple[Any, ...] = (None, (), {})


class RequiredValue(NamedTuple):
    """The one value of a field that a system can do."""

    value: Any
    why: str
    """Why any other is refused; where the user left it blank, what the system does instead of ours."""
    fix: str = ""


def set_fields(section: Section, prefix: str = "") -> Iterator[str]:
    """The dotted names of all fields that the user set, such as ``training.packing``; sections are gone into.

    Nothing at all (None, an empty list), where that is the default, is no wish: specs that were written out in full
    and read back have it everywhere.
    """
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name not in section.model_fields_set or (value in _NOTHING and value == field.default):
            continue
        if isinstance(value, Section):
            yield from set_fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


class Ledger:
    """One translation's book: each field is taken, set aside or refused, and closing it finds what was forgotten.

    Args:
        backend: The backend's name, for the error.
        spec: The spec to translate.
        strict: Refuse advice that would be set aside.
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
        found: Any = self.spec
        for part in field.split("."):
            found = None if found is None else getattr(found, part)
        return found

    def use(self, field: str, native: str = "") -> Any:
        """Honour a field under its native name, and give its value."""
        self.honoured[field] = native or field.rpartition(".")[2]
        return self.value(field)

    def refuse(self, field: str, why: str, fix: str = "") -> None:
        """Refuse a field; the translation goes on, so that one error names all of them."""
        self.problems.append(Problem(field, why, fix))

    def ignore(self, field: str, why: str) -> None:
        """Set a piece of advice aside, with the reason; intent cannot be left, only refused."""
        if self.strict or field.split(".", maxsplit=1)[0] not in ADVICE:
            self.refuse(field, why)
        else:
            self.set_aside.append(PlanNote(field, why))

    def has(self, field: str) -> bool:
        """Whether the spec has the field at all: its section may be None, or another type of method."""
        found: Any = self.spec
        for part in field.split("."):
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True

    def is_set(self, field: str) -> bool:
        """Whether the user set it, or something in it."""
        return any(given == field or given.startswith(f"{field}.") for given in self.set_fields)

    def require_values(self, table: Mapping[str, RequiredValue]) -> None:
        """Take fields that have the one possible value; refuse others that the user set, tell of those left blank."""
        for field, only in table.items():
            if not self.has(field):
                continue
            if self.value(field) == only.value:
                self.use(field, "as it is")
            elif self.is_set(field):
                self.refuse(field, only.why, only.fix)
            else:
                self.backend_defaults.append(PlanNote(field, only.why))

    def refuse_unsendable(self, table: Mapping[str, str]) -> None:
        """Refuse fields that cannot be told and that the user set; tell of those left blank."""
        for field, why in table.items():
            if self.is_set(field):
                self.refuse(field, why, "leave it out")
            elif self.has(field):
                self.backend_defaults.append(PlanNote(field, why))

    def ignore_advice(self, table: Mapping[str, str], otherwise: str) -> None:
        """Set aside what is left of the advice that the user gave."""
        for field in sorted(self.set_fields):
            if field.split(".", maxsplit=1)[0] in ADVICE and not _covers(self._accounted(), field):
                self.ignore(field, table.get(field, otherwise))

    def close(self) -> None:
        """End the translation.

        Raises:
            UnsupportedSpec: Fields were refused, or the user set a field that nobody accounted for.
        """
        accounted = self._accounted()
        for field in sorted(self.set_fields):
            if field.split(".")[0] not in BOOKKEEPING and not _covers(accounted, field):
                self.ignore(field, f"{self.backend} has no setting for it")
        if self.problems:
            raise UnsupportedSpec(self.backend, self.problems)

    def _accounted(self) -> set[str]:
        return {*self.honoured, *(note.field for note in self.set_aside), *(p.where for p in self.problems)}


def _covers(accounted: set[str], field: str) -> bool:
    """Whether the field, or a section that holds it, is accounted for."""
    parts = field.split(".")
    return any(".".join(parts[:depth]) in accounted for depth in range(1, len(parts) + 1))
