"""What a job at Hugging Face may take and cost: its machine, its longest time, its highest price."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ftsdk.backend import Options, PlanNote
from ftsdk.huggingface.errors import TOKEN
from ftsdk.huggingface.flavors import Flavor
from ftsdk.spec import JobSpec
from ftsdk.translation.ledger import Ledger

LONGEST = 24 * 3600
"""Seconds that a job may train where the spec does not say."""
SETUP = 1800
"""Seconds beside them: to install what the image lacks, to load, and to send what was made."""

_NEEDED = {"wandb": ("WANDB_API_KEY",), "mlflow": ("MLFLOW_TRACKING_URI",)}
"""From a tracker to the environment variables that it cannot do without; others keep their records in the container."""
_THEIRS = {"wandb": "WANDB_", "mlflow": "MLFLOW_"}
"""From a tracker to the beginning of its variables."""


class HostedOptions(Options):
    """Settings of every backend whose jobs run at Hugging Face."""

    flavor: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] | None = None
    """The machine, such as ``l4x1``; ``hf jobs hardware`` lists them. None: see the backend's page."""
    namespace: Annotated[str, Field(min_length=1)] | None = None
    """The user or organization that the job and its repository belong to, and that pays. None: you."""
    price_limit: Annotated[float, Field(gt=0)] | None = None
    """The most that the job may cost, in US dollars: its machine's price times its longest time to run."""
    on_ambiguous: Literal["park", "recreate"] = "park"
    """When no answer came and no Job shows up: ``park`` it, or create again, which may be paid twice."""
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long to look for a Job whose creation got no answer."""


class Terms(NamedTuple):
    """What was settled for one job."""

    flavor: Flavor
    seconds: int
    """Longest time of the machine."""
    own: tuple[PlanNote, ...]
    """What the user left to us."""

    @property
    def highest(self) -> float:
        """US dollars, if it runs for all of its time."""
        return self.flavor.price * self.seconds / 3600

    @property
    def cost(self) -> str:
        """For people."""
        about = f"${self.flavor.price:.2f} an hour on {self.flavor.name}, by the minute"
        return f"{about}; ${self.highest:.2f} at the most, if it runs for all of its {self.seconds / 3600:.1f} h"


def settle_terms(ledger: Ledger, options: HostedOptions, flavor: Flavor) -> Terms:
    """Settle time and price; what is above the user's limit is refused."""
    section = f"backend_options.{ledger.backend}"
    given = ledger.use("compute.timeout", "timeoutSeconds")
    own = (
        []
        if given
        else [PlanNote("compute.timeout", f"{LONGEST // 3600} h: a machine that is paid for must stop some time")]
    )
    if options.flavor is None:
        own.append(PlanNote(f"{section}.flavor", str(flavor)))
    terms = Terms(flavor, (given or LONGEST) + SETUP, tuple(own))
    if options.price_limit is not None and terms.highest > options.price_limit:
        what = f"{flavor} for {terms.seconds / 3600:.1f} h costs up to ${terms.highest:.2f}"
        ledger.refuse(f"{section}.price_limit", what, "lower compute.timeout, or raise the limit")
    return terms


def named_flavor(ledger: Ledger, name: str, flavors: Sequence[Flavor]) -> Flavor | None:
    """The machine of this name; one that is not there, or has cards that nobody uses, is refused."""
    field = f"backend_options.{ledger.backend}.flavor"
    found = next((flavor for flavor in flavors if flavor.name == name), None)
    if found is None:
        names = ", ".join(flavor.name for flavor in flavors)
        ledger.refuse(field, f"there is no machine {name!r}", f"one of: {names}")
    elif found.cards > 1:
        what = f"a job trains on one card, and {found.name} has {found.cards}, all of which would be paid for"
        ledger.refuse(field, what, "a machine with one card")
    return found


def secrets_of(ledger: Ledger, variables: frozenset[str]) -> list[str]:
    """Names of the variables whose values the job is given; those of trackers only where they are asked for.

    Args:
        ledger: Has the spec.
        variables: Names of environment variables that are set here.
    """
    spec: JobSpec = ledger.spec
    for tracker in spec.report_to:
        if tracker not in _NEEDED:
            ledger.refuse("report_to", f"{tracker}'s files would stay in the container", " or ".join(_NEEDED))
        for key in _NEEDED.get(tracker, ()):
            if key not in variables:
                ledger.refuse("report_to", f"{tracker} needs {key}, which is not set", f"export {key}=...")
    begins = tuple(_THEIRS[tracker] for tracker in spec.report_to if tracker in _THEIRS)
    return [TOKEN, *sorted(name for name in variables if begins and name.startswith(begins))]
