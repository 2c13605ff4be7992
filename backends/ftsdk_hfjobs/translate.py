"""Translate a spec into the local engine's settings and the Job that runs it. Pure but for reading config files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Note, Plan
from ftsdk.data import is_local
from ftsdk.estimate import MemoryForecast
from ftsdk.kit.hub.container import MOUNT
from ftsdk.kit.hub.door import TOKEN
from ftsdk.kit.hub.flavors import Flavor, smallest
from ftsdk.kit.hub.pins import Pins, warnings
from ftsdk.kit.hub.staging import COMMAND, FOLDER
from ftsdk.kit.ledger import Ledger
from ftsdk.spec import JobSpec
from ftsdk_hfjobs.options import HfJobsOptions
from ftsdk_hfjobs.package import code_sha256, version
from ftsdk_local.settings import RewardSettings, Settings
from ftsdk_local.translate import translated

NAME = "hfjobs"
SECTION = f"backend_options.{NAME}"

LONGEST = 24 * 3600
"""Seconds that a job may train where the spec does not say."""
SETUP = 1800
"""Seconds beside them: to install what the image lacks, to load, and to send what was made."""

KEYS = {"wandb": ("WANDB_API_KEY",), "trackio": (), "tensorboard": (), "mlflow": ("MLFLOW_TRACKING_URI",)}
"""From a tracker to the environment variables that it cannot do without."""
TRACKER_SETTINGS = ("WANDB_", "MLFLOW_", "TRACKIO_")
"""Beginnings of variables that go to the job as secrets, where a tracker is asked for."""

_ROOM = f"{MOUNT}{FOLDER}/"


class Known(NamedTuple):
    """What was asked before."""

    namespace: str
    """Who owns the job, and pays."""
    flavors: Sequence[Flavor]
    """The machines that there are, the cheapest first."""
    pins: Pins
    """What the Hub says of the names in the spec."""
    variables: frozenset[str]
    """Names of environment variables that are set here."""


def plan(spec: JobSpec, options: HfJobsOptions, known: Known) -> Plan:
    """The Job for a spec, and what becomes of each field.

    Args:
        spec: What the user means.
        options: What Hugging Face Jobs alone have.
        known: What was asked before.

    Raises:
        UnsupportedSpec: With every field that cannot be honoured.
    """
    ledger = Ledger(NAME, spec)
    draft = known.flavors[-1] if (flavor := _named(ledger, options, known)) is None else flavor
    made = translated(ledger, draft.machine, known.pins)
    chosen = flavor or _chosen(ledger, options, known, made.memory) or draft
    seconds = (ledger.take("compute.timeout", "timeoutSeconds") or LONGEST) + SETUP
    secrets = _secrets(ledger, known.variables)
    highest = chosen.price * seconds / 3600
    if options.price_limit is not None and highest > options.price_limit:
        what = f"{chosen} for {seconds / 3600:.1f} h costs up to ${highest:.2f}"
        ledger.refuse(f"{SECTION}.price_limit", what, "lower compute.timeout, or raise the limit")
    settings, files = moved(made.settings, ledger)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "namespace": known.namespace,
            "image": options.image,
            "command": list(COMMAND),
            "flavor": chosen.name,
            "seconds": seconds,
            "price_per_hour": chosen.price,
            "secrets": secrets,
            "files": files,
            "code": {"version": version(), "sha256": code_sha256()},
            "lock": "lock-trackers.txt" if spec.report_to else "lock.txt",
            "settings": settings.model_dump(mode="json"),
            "on_ambiguous": options.on_ambiguous,
            "settle_seconds": options.settle_seconds,
        },
        honoured=ledger.honoured,
        set_aside=tuple(ledger.set_aside),
        backends_own=(*made.own, *_own(spec, options, chosen)),
        memory=made.memory,
        warnings=(*warnings(known.pins), _cost(chosen, seconds, highest)),
    )


def moved(settings: Settings, ledger: Ledger | None = None) -> tuple[Settings, dict[str, str]]:
    """The settings with every path of this machine led to where the job will find it, and from there to here.

    Args:
        settings: As for this machine.
        ledger: Where what cannot be moved is refused.
    """
    files: dict[str, str] = {}

    def there(path: str | None) -> str | None:
        """The place of a file or folder; names of the Hub and addresses stay."""
        if path is None or not Path(path).is_absolute():
            return path
        place = next((place for place, source in files.items() if source == path), None)
        if place is None:
            place = f"files/{len(files)}/{Path(path).name}"
            files[place] = path
        return f"{_ROOM}{place}"

    def dataset(given: Any) -> Any:
        if given is None:
            return None
        paths = tuple(str(there(path)) if is_local(path) else path for path in given.paths)
        return given.model_copy(update={"path": paths, "chat_template": there(given.chat_template)})

    data = settings.data.model_copy(
        update={"dataset": dataset(settings.data.dataset), "eval_dataset": dataset(settings.data.eval_dataset)}
    )
    model = settings.model.model_copy(update={"name": there(settings.model.name)})
    changes: dict[str, Any] = {"data": data, "model": model, "adapter_from": there(settings.adapter_from)}
    if settings.reward is not None:
        changes["reward"] = _reward(settings.reward, there, files, ledger)
    return settings.model_copy(update=changes), files


def _reward(given: RewardSettings, there: Any, files: dict[str, str], ledger: Ledger | None) -> RewardSettings:
    """A reward model by its place; of a function, its module's one file."""
    if given.function is None:
        return given.model_copy(update={"model": there(given.model)})
    module = given.function.partition(":")[0]
    file = Path(given.path or "") / f"{module}.py"
    if "." in module or not file.is_file():
        if ledger is not None and given.path is not None:
            what = "only a module of one file goes to the job, and this one is part of a package"
            ledger.refuse("method.reward", what, "put the function into a file of its own")
        return given
    files[f"files/reward/{file.name}"] = str(file)
    return given.model_copy(update={"path": f"{_ROOM}files/reward"})


def _named(ledger: Ledger, options: HfJobsOptions, known: Known) -> Flavor | None:
    """The machine that the user names."""
    if options.flavor is None:
        return None
    found = next((flavor for flavor in known.flavors if flavor.name == options.flavor), None)
    if found is None:
        names = ", ".join(flavor.name for flavor in known.flavors)
        ledger.refuse(f"{SECTION}.flavor", f"there is no machine {options.flavor!r}", f"one of: {names}")
    elif found.cards > 1:
        what = f"the engine trains on one card, and {found.name} has {found.cards}, which would be paid for"
        ledger.refuse(f"{SECTION}.flavor", what, "a machine with one card")
    return found


def _chosen(ledger: Ledger, options: HfJobsOptions, known: Known, memory: MemoryForecast | None) -> Flavor | None:
    """The cheapest machine that the job fits on."""
    if options.flavor is not None:
        return None
    singles = [flavor for flavor in known.flavors if flavor.cards == 1]
    listed = ", ".join(map(str, singles))
    if memory is None:
        what = "the model's memory cannot be forecast, so no machine can be chosen"
        ledger.refuse(f"{SECTION}.flavor", what, f"name one of: {listed}")
        return None
    found = smallest(singles, memory.total)
    if found is None:
        what = f"the job needs {memory.total / 1e9:.0f} GB, and no machine with one card has that ({listed})"
        ledger.refuse(f"{SECTION}.flavor", what, "set compute.quantization, or lower training.max_length")
    return found


def _secrets(ledger: Ledger, variables: frozenset[str]) -> list[str]:
    """Names of the variables whose values the job is given; those of trackers only where they are asked for."""
    wanted = list(ledger.spec.report_to)
    for tracker in wanted:
        for key in KEYS[tracker]:
            if key not in variables:
                ledger.refuse("report_to", f"{tracker} needs {key}, which is not set", f"export {key}=...")
    theirs = tuple(begin for begin in TRACKER_SETTINGS if begin.rstrip("_").lower() in wanted)
    return [TOKEN, *sorted(name for name in variables if theirs and name.startswith(theirs))]


def _own(spec: JobSpec, options: HfJobsOptions, chosen: Flavor) -> tuple[Note, ...]:
    own = []
    if options.flavor is None:
        own.append(Note(f"{SECTION}.flavor", f"{chosen}, the cheapest that the job fits on"))
    if spec.compute.timeout is None:
        own.append(Note("compute.timeout", f"{LONGEST // 3600} h, for what runs must end some time"))
    return tuple(own)


def _cost(flavor: Flavor, seconds: int, highest: float) -> str:
    about = f"${flavor.price:.2f} an hour on {flavor.name}"
    return f"{about}, by the minute; ${highest:.2f} at the most, if it runs for all of its {seconds / 3600:.1f} h"
