"""Machine, time limit and price of a job at Hugging Face."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from ftsdk.backend import PlanNote
from ftsdk.huggingface.errors import TOKEN
from ftsdk.huggingface.flavors import Flavor
from ftsdk.remote.backend import RemoteOptions
from ftsdk.spec import JobSpec
from ftsdk.translation.ledger import Ledger

LONGEST = 24 * 3600
"""Seconds that a job may train where the spec sets no timeout."""
SETUP = 1800
"""Seconds on top: to install what the image lacks, to load the model, and to upload the results."""

_REQUIRED_VARIABLES = {"wandb": ("WANDB_API_KEY",), "mlflow": ("MLFLOW_TRACKING_URI",)}
"""From a tracker to the environment variables that it requires; the other trackers write files in the container."""
_VARIABLE_PREFIXES = {"wandb": "WANDB_", "mlflow": "MLFLOW_"}
"""From a tracker to the prefix of its variables."""


class HostedOptions(RemoteOptions):
    """Settings of every backend whose jobs run at Hugging Face."""

    flavor: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] | None = None
    """The machine, such as ``l4x1``; ``hf jobs hardware`` lists them. None: see the backend's page."""
    namespace: Annotated[str, Field(min_length=1)] | None = None
    """The user or organization that owns and pays the job. None: you."""
    price_limit: Annotated[float, Field(gt=0)] | None = None
    """The most that the job may cost, in US dollars: its machine's price times its longest time to run."""


class Pricing(NamedTuple):
    """Machine, time limit and price of one job."""

    flavor: Flavor
    seconds: int
    """Longest time of the machine."""
    defaults: tuple[PlanNote, ...]
    """What the user left open, for the plan."""

    @property
    def maximum(self) -> float:
        """US dollars, if it runs for its full time."""
        return self.flavor.price * self.seconds / 3600

    @property
    def cost(self) -> str:
        """For the plan: the price of an hour, and the highest possible one."""
        rate = f"${self.flavor.price:.2f} an hour on {self.flavor.name}, by the minute"
        return f"{rate}; ${self.maximum:.2f} at the most, if it runs for its full {self.seconds / 3600:.1f} h"


def price_job(ledger: Ledger, options: HostedOptions, flavor: Flavor) -> Pricing:
    """Compute time limit and price; a price above the user's limit is refused."""
    section = f"backend_options.{ledger.backend}"
    timeout = ledger.use("compute.timeout", "timeoutSeconds")
    defaults = []
    if not timeout:
        defaults.append(PlanNote("compute.timeout", f"{LONGEST // 3600} h: a paid machine needs a time limit"))
    if options.flavor is None:
        defaults.append(PlanNote(f"{section}.flavor", str(flavor)))
    pricing = Pricing(flavor, (timeout or LONGEST) + SETUP, tuple(defaults))
    if options.price_limit is not None and pricing.maximum > options.price_limit:
        problem = f"{flavor} for {pricing.seconds / 3600:.1f} h costs up to ${pricing.maximum:.2f}"
        ledger.refuse(f"{section}.price_limit", problem, "lower compute.timeout, or raise the limit")
    return pricing


def find_flavor(ledger: Ledger, name: str, flavors: Sequence[Flavor]) -> Flavor | None:
    """The machine of this name; one that does not exist, or has cards that would stay idle, is refused."""
    field = f"backend_options.{ledger.backend}.flavor"
    match = next((flavor for flavor in flavors if flavor.name == name), None)
    if match is None:
        names = ", ".join(flavor.name for flavor in flavors)
        ledger.refuse(field, f"there is no machine {name!r}", f"one of: {names}")
    elif match.cards > 1:
        problem = f"a job trains on one card, and {match.name} has {match.cards}, all of which would be paid for"
        ledger.refuse(field, problem, "a machine with one card")
    return match


def secrets_of(ledger: Ledger, variables: frozenset[str]) -> list[str]:
    """Names of the environment variables that become secrets of the job: the token, and those of its trackers.

    Args:
        ledger: The account of the spec.
        variables: Names of environment variables that are set here.
    """
    spec: JobSpec = ledger.spec
    for tracker in spec.report_to:
        if tracker not in _REQUIRED_VARIABLES:
            ledger.refuse(
                "report_to", f"{tracker}'s files would stay in the container", " or ".join(_REQUIRED_VARIABLES)
            )
        for key in _REQUIRED_VARIABLES.get(tracker, ()):
            if key not in variables:
                ledger.refuse("report_to", f"{tracker} needs {key}, which is not set", f"export {key}=...")
    prefixes = tuple(_VARIABLE_PREFIXES[tracker] for tracker in spec.report_to if tracker in _VARIABLE_PREFIXES)
    return [TOKEN, *sorted(name for name in variables if prefixes and name.startswith(prefixes))]
