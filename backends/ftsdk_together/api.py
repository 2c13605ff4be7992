"""Together's calls, through its own client: each bounded in time, reads repeated where that may help, nothing else."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ftsdk.errors import AuthError, ConfigError, JobNotFound, MissingExtra, RejectedError
from ftsdk.redact import redact
from ftsdk.remote.backend import path_segment
from ftsdk.remote.retries import Timeouts, retry, status_code
from ftsdk_together.errors import ERROR_MAPPER

if TYPE_CHECKING:
    import httpx
    import together

KEY = "TOGETHER_API_KEY"
BASE_URL = "TOGETHER_BASE_URL"
DEFAULT_URL = "https://api.together.ai"

Json = dict[str, Any]
Answer = TypeVar("Answer")


def base_url() -> str:
    """The address of the service, which the client completes with ``/v1`` itself.

    Raises:
        ConfigError: It ends in ``/v1``, as older clients needed it.
    """
    url = (os.environ.get(BASE_URL) or DEFAULT_URL).rstrip("/")
    if url.endswith("/v1"):
        raise ConfigError(
            f"{BASE_URL} ends in /v1, which the client adds itself since its version 3",
            hint=f"export {BASE_URL}={url.removesuffix('/v1')}",
        )
    return url


@contextmanager
def connected(timing: Timeouts) -> Iterator["TogetherApi"]:
    """The service, with the user's key from the environment.

    Raises:
        AuthError: No key is set.
        ConfigError: The address is an old one.
        MissingExtra: The client is not installed.
    """
    key, url = os.environ.get(KEY), base_url()
    if not key:
        raise AuthError(f"{KEY} is not set", hint="make a key at https://api.together.ai/settings/api-keys, export it")
    try:
        import httpx  # noqa: PLC0415 - it comes with the client
        import together  # noqa: PLC0415 - slow to import, and not everybody has it
    except ModuleNotFoundError as error:
        raise MissingExtra("together", error.name or "together") from error
    logging.getLogger("together._base_client").addFilter(_without_secrets)  # it logs whole requests when debugging
    limits = httpx.Timeout(timing.call, connect=timing.connect)
    # The client retries POSTs after lost answers, and Together knows no idempotency key: one creation whose answers are
    # lost makes three paid jobs. So its retries are off, and only calls that are safe to repeat are repeated by us.
    with together.Together(api_key=key, base_url=url, max_retries=0, timeout=limits) as client:
        yield TogetherApi(client, timing)


def _without_secrets(record: logging.LogRecord) -> bool:
    """Mask keys in a line of log; every line passes."""
    # The arguments go with it: a handler formats again, and would put the key back.
    record.msg, record.args = redact(record.getMessage()), ()
    return True


class TogetherApi:
    """One connection.

    Args:
        client: The official client.
        timing: How long things may take.
    """

    def __init__(self, client: "together.Together", timing: Timeouts) -> None:
        self.client = client
        self.timing = timing

    def get(self, path: str, action: str, **query: object) -> Json:
        """Read, and read again after errors that may pass."""
        return self._retried(lambda: self._get(path, query), action)

    def post(self, path: str, action: str, body: Mapping[str, Any] | None = None) -> Json:
        """Post something that is safe to repeat, again after errors that may pass."""
        return self._retried(lambda: self.post_once(path, body), action)

    def post_once(self, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """Post exactly once; errors are the client's own."""
        import httpx  # noqa: PLC0415 - see connected

        return _json(self.client.post(path, body=body, cast_to=httpx.Response, options={"max_retries": 0}))

    def job(self, job_id: str) -> Json:
        """One job.

        Raises:
            JobNotFound: There is none.
        """
        return self._of_job(job_id, "", "describe the job")

    def jobs(self) -> list[Json]:
        """All jobs of the account."""
        return _objects(self.get("/v1/fine-tunes", "list the jobs"), "data")

    def events(self, job_id: str) -> list[Json]:
        """The events of a job, in no promised order."""
        return _objects(self._of_job(job_id, "/events", "list the job's events"), "data")

    def metrics(self, job_id: str) -> list[Json]:
        """The rows of metrics of a job; none where there are none yet."""
        try:
            return _objects(self._of_job(job_id, "/metrics", "list the job's metrics"), "metrics")
        except JobNotFound:
            return []

    def limits(self, model: str) -> Json | None:
        """What can be done with a model; None where it cannot be fine-tuned at all."""
        try:
            return self.get("/v1/fine-tunes/models/limits", "list the limits of the model", model_name=model)
        except RejectedError as error:
            if status_code(error.__cause__ or error) == 404:
                return None
            raise

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop."""
        self.post(f"/v1/fine-tunes/{path_segment(job_id, 'Together')}/cancel", "cancel the job")

    def file(self, file_id: str) -> Json:
        """One uploaded file."""
        return self.get(f"/v1/files/{path_segment(file_id, 'Together')}", "describe the uploaded file")

    def upload(self, path: Path, progress: Callable[[int, int], None]) -> tuple[str, bool]:
        """Upload a file; its id, and whether it is new: Together stores the same content once."""
        from together.lib.resources.files import FileAlreadyExistsError  # noqa: PLC0415 - see connected

        def send() -> tuple[str, bool]:
            try:
                uploaded = self.client.files.upload(
                    path,
                    purpose="fine-tune",
                    check=False,  # our rows are checked already
                    raise_if_already_exists=True,
                    progress_callback=lambda state: progress(state.uploaded_bytes, state.total_bytes),
                )
            except FileAlreadyExistsError as error:
                return error.file_id, False
            return uploaded.id, True

        return self._retried(send, "store the file")

    def download(self, query: Json, headers: dict[str, str]) -> AbstractContextManager["httpx.Response"]:
        """Begin to download an output of a job."""
        import httpx  # noqa: PLC0415 - see connected

        answer = self.client.get(
            "/v1/finetune/download",
            cast_to=httpx.Response,
            stream=True,
            options={"params": query, "headers": headers, "max_retries": 0},
        )
        return _closing(answer)

    def _of_job(self, job_id: str, part: str, action: str) -> Json:
        try:
            return self.get(f"/v1/fine-tunes/{path_segment(job_id, 'Together')}{part}", action)
        except RejectedError as error:
            if status_code(error.__cause__ or error) in (400, 404, 422):
                raise JobNotFound(f"Together has no job {job_id!r}", hint="ftsdk jobs lists yours") from error
            raise

    def _get(self, path: str, query: Mapping[str, object]) -> Json:
        import httpx  # noqa: PLC0415 - see connected

        return _json(self.client.get(path, cast_to=httpx.Response, options={"params": dict(query)}))

    def _retried(self, call: Callable[[], Answer], action: str) -> Answer:
        with ERROR_MAPPER.translate_errors(action):
            return retry(call, self.timing.retry_policy)


@contextmanager
def _closing(answer: "httpx.Response") -> Iterator["httpx.Response"]:
    try:
        yield answer
    finally:
        answer.close()


def _json(answer: "httpx.Response") -> Json:
    body = answer.json()
    return body if isinstance(body, dict) else {"data": body}


def _objects(answer: Json, key: str) -> list[Json]:
    """The objects of a list in an answer; an entry of another type is left out."""
    return [entry for entry in answer.get(key) or [] if isinstance(entry, dict)]
