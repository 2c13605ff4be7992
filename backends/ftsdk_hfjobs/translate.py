"""Translate a spec into the local engine's settings and the Job that runs it. Pure but for reading config files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data import is_local
from ftsdk.forecast import MemoryForecast
from ftsdk.huggingface.container import MOUNT
from ftsdk.huggingface.flavors import Flavor, smallest
from ftsdk.huggingface.pricing import named_flavor, secrets_of, settle_terms
from ftsdk.huggingface.revisions import Pins, pin_warnings
from ftsdk.huggingface.staging import COMMAND, FOLDER
from ftsdk.spec import JobSpec
from ftsdk.translation.ledger import Ledger
from ftsdk_hfjobs.options import HfJobsOptions
from ftsdk_hfjobs.package import code_sha256, version
from ftsdk_local.settings import RewardSettings, Settings
from ftsdk_local.translate import translated

NAME = "hfjobs"
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
    largest = known.flavors[-1]
    named = named_flavor(ledger, options.flavor, known.flavors) if options.flavor else None
    made = translated(ledger, (named or largest).machine, known.pins)
    chosen = named if options.flavor else _chosen(ledger, known.flavors, made.memory_estimate.memory)
    terms = settle_terms(ledger, options, chosen or largest)
    secrets = secrets_of(ledger, known.variables)
    _refuse_stores(ledger)
    settings, files = moved(made.settings, ledger)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "namespace": known.namespace,
            "image": options.image,
            "command": list(COMMAND),
            "flavor": terms.flavor.name,
            "seconds": terms.seconds,
            "price_per_hour": terms.flavor.price,
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
        backends_own=(*made.own, *terms.own),
        **made.memory_estimate.fields,
        device=terms.flavor.title,
        device_memory=terms.flavor.memory,
        charge=terms.cost,
        warnings=(*pin_warnings(known.pins), *made.said, terms.cost),
    )


def _refuse_stores(ledger: Ledger) -> None:
    """Rows in an object store need a client and keys of their own, and neither goes along."""
    for field in ("dataset", "eval_dataset"):
        for path in getattr(ledger.value(field), "paths", ()):
            if "://" in path and not path.startswith("https://"):
                what = "a Job has neither the client nor the keys of an object store"
                ledger.refuse(f"{field}.path", what, "give a file, a Hub dataset or an https:// address")


def _chosen(ledger: Ledger, flavors: Sequence[Flavor], memory: MemoryForecast | None) -> Flavor | None:
    """The cheapest machine that the job fits on."""
    field, singles = f"backend_options.{NAME}.flavor", [flavor for flavor in flavors if flavor.cards == 1]
    listed = ", ".join(map(str, singles))
    if memory is None:
        what = "the model's memory cannot be forecast, so no machine can be chosen"
        ledger.refuse(field, what, f"name one of: {listed}")
        return None
    found = smallest(singles, memory.total)
    if found is None:
        what = f"the job needs {memory.total / 1e9:.0f} GB, and no machine with one card has that ({listed})"
        ledger.refuse(field, what, "set compute.quantization, or lower training.max_length")
    return found


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
            place = f"files/{len(files)}/{Path(path).resolve().name or 'root'}"
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
