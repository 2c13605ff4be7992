"""The contract between ftsdk and a backend.

A backend is a class that derives from :class:`Backend` and is named in the entry points of its distribution::

    [project.entry-points."ftsdk.backends"]
    acme = "ftsdk_acme:AcmeBackend"

Its test is a subclass of :class:`ftsdk.testing.BackendContract`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from ftsdk.artifact import Artifact
from ftsdk.data.report import DataReport
from ftsdk.deprecation import moved
from ftsdk.errors import Problem, UnsupportedSpec
from ftsdk.forecast import MemoryForecast, MemoryInputs
from ftsdk.job_types import Event, JobStatus
from ftsdk.spec import JobSpec, Section
from ftsdk.units import gib

Verb = Literal["events", "metrics", "cancel", "resume", "fetch"]


class Options(Section):
    """Settings that one backend alone has; each backend derives its own (``backend_options.NAME`` in the spec)."""


class Capabilities(Section):
    """What a backend can do, as data: it feeds the checks, the contract's tests and the docs' matrix."""

    methods: frozenset[str]
    """Types of method, such as ``sft``."""
    adapters: frozenset[Literal["full", "lora", "dora", "rslora"]]
    """What may train."""
    quantizations: frozenset[str] = frozenset()
    """Quantizations of the frozen base that it supports; others are ignored as advice, or refused."""
    formats: frozenset[str]
    """Dataset formats that it accepts."""
    verbs: frozenset[Verb]
    """What it can do with a job, beyond submitting and the status."""
    costs_money: bool = False
    """Whether a job is billed."""


class PlanNote(NamedTuple):
    """A remark on one field in a plan."""

    field: str
    text: str


class Plan(Section):
    """The exact native request, as data, and what became of every field. Nothing has been sent or spent."""

    backend: str
    """The backend's name."""
    spec: JobSpec
    """The spec, resolved."""
    native: Mapping[str, Any]
    """The request as it will be sent: JSON data."""
    honoured: Mapping[str, str] = {}
    """From each field of the spec that is used to its native name."""
    set_aside: tuple[PlanNote, ...] = ()
    """Advice that is ignored, and why."""
    backends_own: tuple[PlanNote, ...] = ()
    """What this backend decides by itself: it has no setting for it."""
    command: str = ""
    """The command that does the same by hand, where there is one."""
    memory: MemoryForecast | None = None
    """What the job needs on its device, where this can be known."""
    basis: MemoryInputs | None = None
    """What ``memory`` was forecast from; ``ftsdk.estimate`` tries other settings by it."""
    not_forecast: str = ""
    """Why ``memory`` is not known."""
    device: str = ""
    """What it runs on, where this is known beforehand."""
    device_memory: int | None = None
    """Bytes that this device has."""
    price: float | None = None
    """The estimated price in US dollars. None: not known; 0: free."""
    charge: str = ""
    """What the price depends on, where it is not known beforehand: a machine's price by the hour, say."""
    data: DataReport | None = None
    """Counts and warnings of the rows; filled in by the client, which checks them first."""
    warnings: tuple[str, ...] = ()
    """What the user should know before submitting."""
    facts: Mapping[str, str] | None = None
    """Facts that earlier calls recorded; filled in by the client. None: it is unknown what was tried."""

    def __str__(self) -> str:
        """The plan as a page: what will be sent, and what became of the fields that the user set."""
        sections = {
            "sent": json.dumps(self.native, indent=2).splitlines(),
            "honoured": [f"{field} -> {native}" for field, native in self.honoured.items()],
            "ignored advice": [f"{note.field}: {note.text}" for note in self.set_aside],
            "decided by the backend": [f"{note.field}: {note.text}" for note in self.backends_own],
            "data": [f"{self.data.rows} rows, {self.data.format}"] if self.data else [],
            "memory": [f"{gib(self.memory.total)} at the peak, by forecast"] if self.memory else [],
            "price": [] if self.price is None else [f"${self.price:,.2f}" if self.price else "free"],
            "command": [self.command] if self.command else [],
            "warnings": list(self.warnings),
        }
        blocks = ("\n  ".join([title, *lines]) for title, lines in sections.items() if lines)
        return "\n".join([f"plan for {self.backend}; nothing has been sent", *blocks])


class Record(Protocol):
    """Keeps a fact about a submission durably, before the next effect builds on it."""

    def __call__(self, **facts: str) -> None:
        """Write the facts (an uploaded file's id, say); they are on disk when this returns."""


class Backend(ABC):
    """Translates a spec for one system and speaks with that system. Keeps no state between calls."""

    name: ClassVar[str]
    """One name everywhere: entry point, extra, options section, docs page."""
    Options: ClassVar[type[Options]] = Options
    pause: float = 1.0
    """Seconds between two status requests of ``wait``; up to ten times as many while nothing changes."""

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What it supports; what is not declared is refused."""

    @abstractmethod
    def check(self) -> list[Problem]:
        """What prevents its use here: a missing package, a missing key. Empty: usable."""

    def describe(self) -> str:
        """Its line in ``ftsdk doctor`` where it is usable: versions, paths. Empty: none."""
        return ""

    def install(self, tell: Callable[[str], None]) -> None:
        """Install what it needs on this machine beside its Python packages; safe to repeat.

        Args:
            tell: Called with each line of progress.
        """
        tell(f"{self.name} needs nothing but its Python packages")

    @abstractmethod
    def plan(self, spec: JobSpec, options: Any) -> Plan:
        """Translate, without any effect.

        Args:
            spec: The job.
            options: An instance of this backend's ``Options``.

        Raises:
            UnsupportedSpec: With every field that cannot be honoured.
        """

    @abstractmethod
    def submit(self, plan: Plan, token: str, record: Record) -> str:
        """Send exactly this plan, and make exactly one job for this token, whatever fails.

        Called again with the same token, it continues where the earlier call broke off; ``plan.facts`` has where.

        Args:
            plan: From :meth:`plan`, with ``data`` filled in.
            token: 26 characters of ``[a-z2-7]``, this job's own; it is stored where :meth:`find` can read it.
            record: Keeps facts about the submission.

        Returns:
            The native id.

        Raises:
            RejectedError: Nothing was created, and trying again would not help.
            AuthError: Nothing was created; a key is missing or wrong.
            AmbiguousError: Something may have been created.
        """

    @abstractmethod
    def find(self, token: str, plan: Plan) -> str | None:
        """The native id of an earlier submission with this token. None: it is certain that there is none.

        Raises:
            AmbiguousError: It is uncertain.
        """

    @abstractmethod
    def status(self, native_id: str) -> JobStatus:
        """Where the job is now.

        Raises:
            JobNotFound: The system knows no such job.
            UnreachableError: The system cannot be asked now.
        """

    @abstractmethod
    def events(self, native_id: str, after: str | None = None) -> Iterable[Event]:
        """The events so far, in order, after the cursor ``after``; it does not wait for later ones."""

    @abstractmethod
    def cancel(self, native_id: str) -> None:
        """Ask the job to stop; safe to repeat, and without effect on a job that is done."""

    def resume(self, native_id: str) -> None:
        """Resume a job that failed or was cancelled from its last good checkpoint."""
        raise UnsupportedSpec(self.name, [Problem("resume", f"{self.name} cannot resume a job ({native_id})")])

    @abstractmethod
    def fetch(self, native_id: str, folder: Path) -> Artifact:
        """Download the artifact into ``folder``, verified and in ftsdk's one layout; safe to repeat.

        Raises:
            ArtifactError: What came is damaged or unsafe; ``folder`` is as it was.
            JobNotReady: The job has no artifact yet.
        """


if not TYPE_CHECKING:  # type checkers take a module with __getattr__ for one that has every name

    def __getattr__(name: str) -> Any:
        if name != "Note":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return moved(__name__, name, f"{__name__}:PlanNote")
