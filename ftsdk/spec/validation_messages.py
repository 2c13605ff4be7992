"""Messages for what is wrong with a document, without its values: one may be a secret in the wrong place."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ftsdk.errors import FtsdkError, Problem
from ftsdk.redact import redact

_LONGEST_NAME = 40  # characters; longer than any field's name

_MEMBER = re.compile(r".*\[.*|constrained-.*|str|int|float|bool", re.DOTALL)  # Pydantic's names of a union's members

NO_SUCH_FIELD = "there is no such field here"

_MESSAGES = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "dict_type": "expected a section of keys and values",
    "extra_forbidden": NO_SUCH_FIELD,
    "finite_number": "expected a finite number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "this number is too large",
    "int_type": "expected a whole number",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "expected {expected}",
    "list_type": "expected a list",
    "missing": "is required",
    "model_attributes_type": "expected a section of keys and values",
    "model_type": "expected a section of keys and values",
    "string_pattern_mismatch": "expected text of the form {pattern}",
    "string_too_short": "must not be empty",
    "string_type": "expected text",
    "string_unicode": "expected text in Unicode",
    "too_short": "must not be empty",
    "tuple_type": "expected a list",
    "union_tag_invalid": "expected {expected_tags}",
    "union_tag_not_found": "has no type",
}
"""From Pydantic's type of an error to our message; Pydantic's own may quote the input, or use terms of Python."""

_FIXES = {
    "string_type": "put it in quotes if it is meant as text",
    "union_tag_not_found": "name the method, such as type: dpo",
}


class Mistake(ValueError):
    """The text is not a document; the message names the place and quotes nothing of the text."""


def problems_of(error: ValidationError) -> list[Problem]:
    """Pydantic's errors as problems: one for each field, with its dotted name and without its value."""
    by_field: dict[str, list[Problem]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        for problem in _problems(detail):
            by_field.setdefault(problem.where, []).append(problem)
    return [_join(where, problems) for where, problems in by_field.items()]


def shown_key(key: object) -> str:
    """A key as an error may show it: names as they are; what could be a secret, as its length only."""
    if not isinstance(key, str):
        return f"a key of type {type(key).__name__}"
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", key) and len(re.findall(r"\d", key)) <= 4
    if plain and len(key) <= _LONGEST_NAME and redact(key) == key:
        return key
    return f"(a key of {len(key)} characters)"


def shown_path(path: object) -> str:
    """A file's path as an error may show it."""
    text = redact(str(path))
    return text if text.isprintable() and len(text) <= 4 * _LONGEST_NAME else "the file"


def unquoted(message: str) -> str:
    """A parser's message without the text that it quotes; single characters and ``<names of tokens>`` stay."""
    return re.sub(r"""['"](?!<)[^'"]{3,}.*|\(['"].*""", "...", redact(message), flags=re.DOTALL)


def _problems(detail: Mapping[str, Any]) -> Iterator[Problem]:
    where, kind, context = ".".join(_location(detail["loc"])), detail["type"], detail.get("ctx", {})
    cause = context.get("error")
    if kind == "default_factory_not_called":  # the default follows from another field, which is reported itself
        return
    if isinstance(cause, FtsdkError) and cause.problems:
        for problem in cause.problems:
            yield problem._replace(where=".".join(filter(None, (where, problem.where))))
    elif kind == "value_error":
        yield Problem(where, redact(str(cause)))
    else:
        message = _MESSAGES.get(kind, "is not accepted here").format_map(context)
        yield Problem(where, message, _FIXES.get(kind, ""))


def _join(where: str, problems: Iterable[Problem]) -> Problem:
    """The problems of one field as one: a union reports one for each of its members."""
    messages, fixes = zip(*((problem.what, problem.fix) for problem in problems), strict=True)
    joined = ", or ".join(dict.fromkeys(messages)).replace(", or expected ", ", or ")
    return Problem(where, joined, next(filter(None, fixes), "") if len(messages) == 1 else "")


def _location(loc: tuple[int | str, ...]) -> Iterator[str]:
    """Pydantic's location without the members of unions on its way: ``method.dpo.beta`` is ``method.beta``."""
    for depth, part in enumerate(loc):
        if isinstance(part, int):
            yield str(part)
        elif not _MEMBER.fullmatch(part) and loc[depth - 1 : depth] != ("method",):
            yield shown_key(part)
