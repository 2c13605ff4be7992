"""Replicate's calls: each bounded in time, reads repeated where that is safe, a creation sent once.

The official client writes the creations and reads their errors; it sends through our connection, whose times are
bounded and which knows the user's proxies. All other calls are made by our own code: see
docs/decisions/008-replicate-by-its-client-and-our-own-reader.md.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ftsdk.errors import AuthError, JobNotFound, MissingExtra, RejectedError
from ftsdk.remote.backend import path_segment
from ftsdk.remote.retries import Timeouts, retry, status_code
from ftsdk_replicate.errors import ERROR_MAPPER

if TYPE_CHECKING:
    import httpx

TOKEN = "REPLICATE_API_TOKEN"  # noqa: S105 - the variable's name
BASE_URL = "REPLICATE_BASE_URL"
DEFAULT_URL = "https://api.replicate.com"
DELIVERY = "replicate.delivery"
"""The host of outputs, and the end of its other names."""
_MOST_PAGES = 50  # of a hundred trainings each
_MOST_REDIRECTS = 5

Json = dict[str, Any]


def base_url() -> str:
    """The address of the service; its paths begin with ``/v1`` themselves."""
    return (os.environ.get(BASE_URL) or DEFAULT_URL).rstrip("/").removesuffix("/v1")


@contextmanager
def connected(timing: Timeouts) -> Iterator["ReplicateApi"]:
    """The service, with the user's token from the environment.

    Raises:
        AuthError: No token is set.
        MissingExtra: The client is not installed, or cannot be imported by this Python.
    """
    token = os.environ.get(TOKEN)
    if not token:
        raise AuthError(
            f"{TOKEN} is not set", hint="make a token at https://replicate.com/account/api-tokens, export it"
        )
    httpx, replicate = _libraries()
    limits = httpx.Timeout(timing.call, connect=timing.connect)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=base_url(), headers=headers, timeout=limits, follow_redirects=False) as http:
        official = replicate.Client(
            api_token=token, base_url=base_url(), timeout=limits, transport=_SharedTransport(http)
        )
        yield ReplicateApi(http, official, timing)


def _libraries() -> tuple[Any, Any]:
    try:
        import httpx  # noqa: PLC0415 - it comes with the client
        import replicate  # noqa: PLC0415 - slow to import, and not everybody has it
    except ModuleNotFoundError as error:
        raise MissingExtra("replicate", error.name or "replicate") from error
    except Exception as error:  # its 1.x fails at import on Python 3.14, in pydantic.v1
        raise MissingExtra("replicate", "replicate, in a version that this Python can import") from error
    return httpx, replicate


class _SharedTransport:
    """A transport for the official client that hands each request to our own connection."""

    def __init__(self, http: "httpx.Client") -> None:
        self._http = http

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        """Send one request; an error is raised here, for the client stumbles over bodies that it does not know."""
        return _checked(self._http.send(request))

    def close(self) -> None:
        """Our connection is closed by us."""


class ReplicateApi:
    """One connection.

    Args:
        http: For reading, and for files.
        official: The official client, for creations.
        timing: How long things may take.
    """

    def __init__(self, http: "httpx.Client", official: Any, timing: Timeouts) -> None:
        self._http = http
        self._official = official
        self.timing = timing

    def get(self, path: str, action: str) -> Json:
        """Read, and read again after errors that may pass."""
        with ERROR_MAPPER.translate_errors(action):
            return retry(lambda: _json(_checked(self._http.get(path))), self.timing.retry_policy)

    def get_or_none(self, path: str, action: str) -> Json | None:
        """Read; None where there is nothing."""
        try:
            return self.get(path, action)
        except RejectedError as error:
            if status_code(error.__cause__ or error) == 404:
                return None
            raise

    def training(self, training_id: str) -> Json:
        """One training. Its own address, not ``urls.get``, which is that of a prediction.

        Raises:
            JobNotFound: There is none.
        """
        training = self.get_or_none(f"/v1/trainings/{path_segment(training_id, 'Replicate')}", "describe the training")
        if training is None:
            raise JobNotFound(f"Replicate has no training {training_id!r}", hint="look at replicate.com/trainings")
        return training

    def trainings(self) -> Iterator[Json]:
        """All trainings of the account, newest first; an entry of another type is left out."""
        yield from self._pages("/v1/trainings", "list the trainings")

    def files(self) -> Iterator[Json]:
        """The account's files."""
        yield from self._pages("/v1/files", "list the files")

    def upload(self, path: Path, name: str, metadata: Mapping[str, str]) -> Json:
        """Upload a file. Safe to repeat: a second copy costs nothing, and is deleted after a day."""
        import httpx  # noqa: PLC0415 - see connected

        def send() -> Json:
            with path.open("rb") as file:
                parts: dict[str, Any] = {
                    "content": (name, file, "application/jsonl"),
                    "metadata": (None, json.dumps(dict(metadata)), "application/json"),
                }
                timeout = httpx.Timeout(self.timing.call, write=10 * self.timing.call)
                return _json(_checked(self._http.post("/v1/files", files=parts, timeout=timeout)))

        with ERROR_MAPPER.translate_errors("store the file"):
            return retry(send, self.timing.retry_policy)

    def create_model(self, owner: str, name: str, hardware: str) -> None:
        """Create a private model; an existing one is an error (HTTP 409)."""
        self._official.models.create(owner=owner, name=name, visibility="private", hardware=hardware)

    def create_training(self, trainer: str, version: str, body: Mapping[str, Any]) -> str:
        """Send the creation exactly once, and return the id; errors are the client's own."""
        training = self._official.trainings.create(model=trainer, version=version, **body)
        return str(training.id)

    def cancel(self, training_id: str) -> None:
        """Ask a training to stop."""
        with ERROR_MAPPER.translate_errors("cancel the training"):
            path = f"/v1/trainings/{path_segment(training_id, 'Replicate')}/cancel"
            retry(lambda: _checked(self._http.post(path)), self.timing.retry_policy)

    @contextmanager
    def download(self, address: str, headers: dict[str, str], *, with_token: bool) -> Iterator["httpx.Response"]:
        """Begin to download an output. The token goes to Replicate's own hosts, and only where they ask for it."""
        import httpx  # noqa: PLC0415 - see connected

        sent_headers = {**headers, **({"Authorization": self._http.headers["Authorization"]} if with_token else {})}
        limits = httpx.Timeout(self.timing.call, connect=self.timing.connect)
        with httpx.Client(timeout=limits, follow_redirects=False) as client:
            # By hand, because httpx would drop or keep the token by rules of its own: here it is dropped for good as
            # soon as one address is not Replicate's.
            for _ in range(_MOST_REDIRECTS):
                with client.stream("GET", address, headers=sent_headers) as answer:
                    if answer.is_redirect and answer.next_request is not None:
                        address = str(answer.next_request.url)
                        if not is_replicate_address(address):
                            sent_headers.pop("Authorization", None)
                        continue
                    yield _checked(answer, streamed=True)
                    return
            raise httpx.TooManyRedirects("an output redirects from one address to the next", request=answer.request)

    def _pages(self, path: str, action: str) -> Iterator[Json]:
        for _ in range(_MOST_PAGES):
            page = self.get(path, action)
            yield from (entry for entry in page.get("results") or [] if isinstance(entry, dict))
            path = _next(page)
            if not path:
                return


def _next(page: Mapping[str, Any]) -> str:
    """The path of the next page, empty behind the last one."""
    # The address is absolute and comes from an answer: a page on another host would be sent the token.
    following = page.get("next")
    if not isinstance(following, str) or not following:
        return ""
    parts = urlsplit(following)
    service = urlsplit(base_url())
    if parts.netloc and (parts.scheme, parts.netloc) != (service.scheme, service.netloc):
        return ""
    return f"{parts.path}?{parts.query}"


def is_replicate_address(address: str) -> bool:
    """Whether an address is one of Replicate's own, to which the token may go."""
    parts, service = urlsplit(address), urlsplit(base_url())
    if (parts.scheme, parts.netloc) == (service.scheme, service.netloc):
        return True
    host = parts.hostname or ""  # not netloc: "api.replicate.com@other.example" is a user name and another host
    return parts.scheme == "https" and (host == DELIVERY or host.endswith(f".{DELIVERY}"))


def _checked(answer: "httpx.Response", *, streamed: bool = False) -> "httpx.Response":
    if answer.is_error:
        if streamed:
            answer.read()
        answer.raise_for_status()
    return answer


def _json(answer: "httpx.Response") -> Json:
    import httpx  # noqa: PLC0415 - see connected

    try:
        body = answer.json()
    except ValueError as error:  # a page of some gateway: as good as no answer
        raise httpx.RemoteProtocolError("the answer is no JSON", request=answer.request) from error
    return body if isinstance(body, dict) else {"results": body}
