"""Retries, error tables and creations work for backends that were written for ``ftsdk.kit``."""

import httpx
import pytest

from ftsdk.backend import Plan
from ftsdk.errors import AmbiguousError, RejectedError, UnreachableError
from ftsdk.spec import JobSpec

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REQUEST = httpx.Request("POST", "http://acme.example/jobs")


def http_error(code):
    """An answer with a status."""
    return httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(code, request=REQUEST))


@pytest.fixture
def door():
    """A table of errors with the fields of version 0.1."""
    from ftsdk.kit.door import Door

    return Door(
        service="Acme",
        clients=frozenset({"httpx"}),
        moment=frozenset({429}),
        later="try later",
        message_of=str,
        refusal=lambda code, action, quote: RejectedError(f"Acme refused to {action} ({code}){quote}"),
        silences=(KeyError,),
    )


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (http_error(422), RejectedError, r"Acme refused to list \(422\): no"),
        (http_error(429), UnreachableError, "at the moment"),
        (http_error(500), UnreachableError, "at the moment"),
        (KeyError("id"), UnreachableError, "did not answer"),
        (httpx.ConnectError("no"), UnreachableError, "did not answer"),
    ],
)
def test_errors_are_mapped(door, error, kind, message):
    """A refusal is the backend's own function's; the others are as they were."""
    with pytest.raises(kind, match=message), door.through("list"):
        raise error


def test_policies_have_their_old_fields():
    """They are made and read by the names that they had, and are policies of today."""
    from ftsdk.kit.http import Patience, Timing, patiently
    from ftsdk.remote.retries import RetryPolicy, Timeouts

    patience = Patience(attempts=2, first_pause=0.01, total=5.0)
    timing = Timing(patience=patience, look=0.02)
    failures = [http_error(500)]

    def call():
        if failures:
            raise failures.pop()
        return "answer"

    assert (5.0, patience, 0.02) == (patience.total, timing.patience, timing.look)
    assert (Timeouts(30.0, 10.0, RetryPolicy(2, 0.01, 60.0, 5.0), 0.02)) == timing
    assert "answer" == patiently(call, timing.patience, helps=lambda error: True)


def test_a_creation_is_recorded_as_it_was():
    """A creation has its two facts, and an uncertain one is parked."""
    from ftsdk.kit.once import CREATED, CREATION, Once

    native = {"on_ambiguous": "park", "settle_seconds": 0.0}
    plan = Plan(backend="acme", spec=JobSpec(model="m", dataset="d.jsonl"), native=native, facts={})
    facts = {}

    job_id = Once("Acme", plan, 0.01, "look").create(
        lambda: "job-1", lambda: None, lambda **new: facts.update(new), lambda error: error
    )
    assert ("job-1", "job-1", "sent at ") == (job_id, facts[CREATED], facts[CREATION][:8])

    parked = plan.model_copy(update={"facts": {CREATION: facts[CREATION]}})
    with pytest.raises(AmbiguousError):
        Once("Acme", parked, 0.01, "look").find(lambda: None)
