"""Send a creation that costs money once, and find out what came of it.

What the services have in common is that none of them knows an idempotency key: asked twice, it makes two jobs. So a
creation is noted before it is sent. Where its answer leaves doubt, the service's list is looked at; where that shows
nothing, the job is parked, because a list may lag behind.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ftsdk.backend import Plan, Record
from ftsdk.errors import AmbiguousError, BackendError
from ftsdk.remote.retries import never_sent, poll, status_code

CREATED = "job"
CREATION = "creation"
_SENT = "sent at "
_REFUSED = "refused"
"""Facts: the job's id once it is known; and what became of the last creation."""

NOT_CREATED = frozenset({400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 429, 431})
"""Answers that mean: nothing was created. All others leave doubt."""

Look = Callable[[], str | None]
"""The id of the one job of this submission, if the service shows it now."""


class IdempotentCreate(NamedTuple):
    """One submission's creation."""

    service: str
    """Its name, for messages."""
    plan: Plan
    """Its native request tells ``on_ambiguous`` and ``settle_seconds``; its facts, what earlier calls have done."""
    look_seconds: float
    """Between two looks."""
    hint: str
    """Where a user looks himself."""

    def find(self, look: Look) -> str | None:
        """The job, where there is one, or None where it is certain that there is none.

        Raises:
            AmbiguousError: A creation was sent, and no job shows up, or the list cannot be had.
        """
        facts = self.plan.facts
        if facts is not None and facts.get(CREATED):
            return facts[CREATED]
        if facts is not None and not facts.get(CREATION, "").startswith(_SENT):
            return None
        try:
            found = look()
        except BackendError as error:  # also where the key is refused now: a job may run and cost
            raise AmbiguousError(f"a creation was sent to {self.service}; {error.message}", hint=error.hint) from error
        if found or facts is None or self._may_recreate(facts):
            return found
        raise self._undecided()

    def create(self, send: Look, look: Look, record: Record, refusal: Callable[[Exception], BaseException]) -> str:
        """Create, and give the job's id.

        Args:
            send: Sends the creation once; None: an answer that names no job. Its errors are the client's own.
            look: Looks for the job.
            record: Keeps what was done.
            refusal: Our error for one of the client's, after which nothing was created.

        Raises:
            AmbiguousError: It cannot be told whether there is a job.
        """
        for _ in range(2 if self._recreates else 1):
            record(**{CREATION: f"{_SENT}{time.time():.3f}"})
            try:
                made = send()
            except Exception as error:  # whatever it is, the request may have been read
                if never_sent(error) or status_code(error) in NOT_CREATED:
                    record(**{CREATION: _REFUSED})
                    raise refusal(error) from error
                made = None
            if made := made or self._settled(look):
                record(**{CREATED: made})
                return made
        raise self._undecided()

    @property
    def _recreates(self) -> bool:
        return bool(self.plan.native["on_ambiguous"] == "recreate")

    def _settled(self, look: Look) -> str | None:
        """Look until the time is up; what goes wrong meanwhile decides nothing."""

        def quietly() -> str | None:
            try:
                return look()
            except BackendError:
                return None

        seen = poll(quietly, self.look_seconds, self.plan.native["settle_seconds"])
        return next((found for found in seen if found), None)

    def _may_recreate(self, facts: Mapping[str, str]) -> bool:
        """Whether the user has asked for a second creation, and the first has had its time to show up."""
        since = time.time() - float(facts[CREATION].removeprefix(_SENT))
        return self._recreates and since > float(self.plan.native["settle_seconds"])

    def _undecided(self) -> AmbiguousError:
        return AmbiguousError(
            f"a creation was sent to {self.service}, no certain answer came, and its list does not show the job (yet)",
            hint=self.hint,
        )
