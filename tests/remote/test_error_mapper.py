"""The errors of a service become ours in one place, whatever they derive from."""

import pytest

from ftsdk.errors import UnreachableError
from ftsdk.huggingface.errors import ERROR_MAPPER


def client_error(name: str, *bases: type[Exception]) -> Exception:
    """An error as the Hub's client raises it."""
    return type(name, bases, {"__module__": "huggingface_hub.errors"})("odd")


@pytest.mark.parametrize(
    "error", [client_error("LocalEntryNotFoundError", FileNotFoundError), KeyError("id"), TimeoutError()]
)
def test_no_answer(error):
    """No answer, or none that makes sense, is an outage, even where the client's error looks like one of this disk."""
    with (
        pytest.raises(UnreachableError, match="the Hub did not answer when asked to read"),
        ERROR_MAPPER.translate_errors("read"),
    ):
        raise error


@pytest.mark.parametrize("error", [FileNotFoundError("rows.jsonl"), ValueError("other")])
def test_what_is_ours_stays(error):
    """A missing file of this disk and an error of our own are not the service's."""
    with pytest.raises(type(error)), ERROR_MAPPER.translate_errors("read"):
        raise error
