"""Translate a spec into the local engine's settings and the Job that runs it. Pure but for reading config files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ftsdk.backend import Plan
from ftsdk.data import is_local
from ftsdk.forecast import MemoryForecast
from ftsdk.huggingface.container import MOUNT
from ftsdk.huggingface.flavors import Flavor, smallest
from ftsdk.huggingface.pricing import find_flavor, price_job, secrets_of
from ftsdk.huggingface.revisions import Pins, pin_warnings
from ftsdk.huggingface.staging import COMMAND, FOLDER
from ftsdk.spec import JobSpec
from ftsdk.translation.ledger import Ledger
from ftsdk_hfjobs.options import HfJobsOptions
from ftsdk_hfjobs.package import code_sha256, version
from ftsdk_local.settings import RewardSettings, Settings
from ftsdk_local.translate import translate

NAME = "hfjobs"
_JOB_FOLDER = f"{MOUNT}{FOLDER}/"

Relocation = Callable[[str | None], str | None]
"""From a path of this machine to its place in the container."""


class HubContext(NamedTuple):
    """Everything outside the spec that a translation depends on."""

    namespace: str
    """Who owns and pays the job."""
    flavors: Sequence[Flavor]
    """All machines, the cheapest first."""
    pins: Pins
    """The commits of the repositories in the spec."""
    variables: frozenset[str]
    """Names of environment variables that are set on this machine."""


def plan(spec: JobSpec, options: HfJobsOptions, context: HubContext) -> Plan:
    """The Job for a spec, and how each field is used.

    Args:
        spec: The spec.
        options: The backend's own settings.
        context: Machines, commits and variables.

    Raises:
        UnsupportedSpec: With every field that cannot be honoured.
    """
    ledger = Ledger(NAME, spec)
    most_expensive = context.flavors[-1]
    requested = find_flavor(ledger, options.flavor, context.flavors) if options.flavor else None
    # The forecast chooses the machine, but needs settings, which depend on a machine: the most expensive one stands in.
    translation = translate(ledger, (requested or most_expensive).machine, context.pins)
    flavor = requested
    if not options.flavor:
        flavor = _choose_flavor(ledger, context.flavors, translation.memory_estimate.memory)
    pricing = price_job(ledger, options, flavor or most_expensive)
    secrets = secrets_of(ledger, context.variables)
    _refuse_object_stores(ledger)
    settings, files = relocate(translation.settings, ledger)
    ledger.close()
    return Plan(
        backend=NAME,
        spec=spec,
        native={
            "namespace": context.namespace,
            "image": options.image,
            "command": list(COMMAND),
            "flavor": pricing.flavor.name,
            "seconds": pricing.seconds,
            "price_per_hour": pricing.flavor.price,
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
        backends_own=(*translation.backends_own, *pricing.defaults),
        **translation.memory_estimate.fields,
        device=pricing.flavor.title,
        device_memory=pricing.flavor.memory,
        charge=pricing.cost,
        warnings=(*pin_warnings(context.pins), *translation.warnings, pricing.cost),
    )


def _refuse_object_stores(ledger: Ledger) -> None:
    """Refuse rows in an object store: the Job has neither its client nor its keys."""
    for field in ("dataset", "eval_dataset"):
        for path in getattr(ledger.value(field), "paths", ()):
            if "://" in path and not path.startswith("https://"):
                problem = "a Job has neither the client nor the keys of an object store"
                ledger.refuse(f"{field}.path", problem, "give a file, a Hub dataset or an https:// address")


def _choose_flavor(ledger: Ledger, flavors: Sequence[Flavor], memory: MemoryForecast | None) -> Flavor | None:
    """The cheapest machine with enough memory; None, with a refusal, where there is none."""
    field, singles = f"backend_options.{NAME}.flavor", [flavor for flavor in flavors if flavor.cards == 1]
    listed = ", ".join(map(str, singles))
    if memory is None:
        problem = "the model's memory cannot be forecast, so no machine can be chosen"
        ledger.refuse(field, problem, f"name one of: {listed}")
        return None
    flavor = smallest(singles, memory.total)
    if flavor is None:
        problem = f"the job needs {memory.total / 1e9:.0f} GB, and no machine with one card has that ({listed})"
        ledger.refuse(field, problem, "set compute.quantization, or lower training.max_length")
    return flavor


def relocate(settings: Settings, ledger: Ledger | None = None) -> tuple[Settings, dict[str, str]]:
    """Replace every path of this machine in the settings by its place in the container.

    Args:
        settings: For this machine.
        ledger: Refuses what cannot be uploaded.

    Returns:
        The settings for the container, and from each file to upload to its path on this machine.
    """
    files: dict[str, str] = {}

    def relocated(path: str | None) -> str | None:
        """The place of a file or folder; names of the Hub and addresses do not change."""
        if path is None or not Path(path).is_absolute():
            return path
        target = next((target for target, source in files.items() if source == path), None)
        if target is None:
            # Numbered: two files may have one name. The name is kept, for loaders look at its ending.
            target = f"files/{len(files)}/{Path(path).resolve().name or 'root'}"
            files[target] = path
        return f"{_JOB_FOLDER}{target}"

    def relocated_dataset(dataset: Any) -> Any:
        if dataset is None:
            return None
        paths = tuple(str(relocated(path)) if is_local(path) else path for path in dataset.paths)
        return dataset.model_copy(update={"path": paths, "chat_template": relocated(dataset.chat_template)})

    data = settings.data.model_copy(
        update={
            "dataset": relocated_dataset(settings.data.dataset),
            "eval_dataset": relocated_dataset(settings.data.eval_dataset),
        }
    )
    model = settings.model.model_copy(update={"name": relocated(settings.model.name)})
    changes: dict[str, Any] = {"data": data, "model": model, "adapter_from": relocated(settings.adapter_from)}
    if settings.reward is not None:
        changes["reward"] = _relocate_reward(settings.reward, relocated, files, ledger)
    return settings.model_copy(update=changes), files


def _relocate_reward(
    reward: RewardSettings, relocated: Relocation, files: dict[str, str], ledger: Ledger | None
) -> RewardSettings:
    """A reward model by its place in the container; of a function, the one file of its module."""
    if reward.function is None:
        return reward.model_copy(update={"model": relocated(reward.model)})
    module = reward.function.partition(":")[0]
    file = Path(reward.path or "") / f"{module}.py"
    if "." in module or not file.is_file():
        if ledger is not None and reward.path is not None:
            problem = "only a module of one file is uploaded, and this one is part of a package"
            ledger.refuse("method.reward", problem, "put the function into a file of its own")
        return reward
    files[f"files/reward/{file.name}"] = str(file)
    return reward.model_copy(update={"path": f"{_JOB_FOLDER}files/reward"})
