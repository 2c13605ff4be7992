"""Pin what a spec takes from the Hub to a commit, and find out beforehand what cannot be had.

A plan that names the newest commit would mean another model tomorrow.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ftsdk.artifact.model_files import ADAPTER_CONFIG, CONFIG
from ftsdk.data import is_local
from ftsdk.errors import FtsdkError, MissingExtra, Problem, UnreachableError
from ftsdk.huggingface.connection import Hub, connected
from ftsdk.huggingface.errors import page
from ftsdk.remote.retries import RetryPolicy, Timeouts
from ftsdk.spec import Dataset, JobSpec
from ftsdk.spec.method import is_function
from ftsdk.translation.ledger import Ledger
from ftsdk.translation.model_source import is_hub_id

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_CONFIGS = (CONFIG, ADAPTER_CONFIG)
_QUESTIONS = Timeouts(call=10.0, patience=RetryPolicy(attempts=2, first_pause=0.2, total=15.0))
"""A plan can do without an answer, so it does not wait for long."""
_NEWEST = "the newest commit at the job's start is taken"


class Pin(NamedTuple):
    """What was found out about one name."""

    revision: str | None = None
    """The commit; None where it could not be found out."""
    problem: Problem | None = None
    """Why it cannot be had."""
    warning: str = ""
    """Why it is not pinned, or not by the Hub's own word."""


Pins = Mapping[str, Pin]
"""From a field of the spec (``model``, ``dataset``, ``eval_dataset``, ``method.reward``) to what was found out."""


def pins_of(spec: JobSpec, extra: str) -> Pins:
    """Ask the Hub for the commit of each name in a spec; a model's config file is kept in the Hub's cache on this disk.

    Where the Hub cannot be asked, the cache tells the commit that it holds.

    Args:
        spec: The spec.
        extra: The extra that brings the Hub's client.
    """
    names, shared = dict(_names(spec)), dict(_shared(spec))
    if not names:
        return shared
    try:
        with connected(extra, _QUESTIONS, anonymous=True) as hub:
            return shared | {field: _asked(hub, field, *named) for field, named in names.items()}
    except MissingExtra:
        unknown = {field: Pin(warning=f"{field}: huggingface_hub is not installed; {_NEWEST}") for field in names}
        return shared | unknown
    except UnreachableError as error:
        return shared | {field: _from_cache(field, *named, why=error.message) for field, named in names.items()}


def revisions(ledger: Ledger, pins: Pins) -> dict[str, str]:
    """The commits that are known; what cannot be had is refused in the ledger."""
    for pin in pins.values():
        if pin.problem:
            ledger.refuse(*pin.problem)
    return {field: pin.revision for field, pin in pins.items() if pin.revision}


def warnings(pins: Pins) -> list[str]:
    """What the user should know."""
    return [pin.warning for pin in pins.values() if pin.warning]


def _names(spec: JobSpec) -> Iterator[tuple[str, tuple[str, str, str | None]]]:
    """Each field that names a repository, with the sort, the name and the wanted revision."""
    model, revision = _base_of(spec.model) or (spec.model, spec.model_revision)
    if is_hub_id(model):
        yield "model", ("model", model, revision)
    reward = getattr(spec.method, "reward", None)
    if reward and not is_function(reward) and is_hub_id(reward):
        yield "method.reward", ("model", reward, None)
    for field, dataset in (("dataset", spec.dataset), ("eval_dataset", spec.eval_dataset)):
        if dataset is not None and len(found := _hub_datasets(dataset)) == 1:
            yield field, ("dataset", found[0], dataset.revision)


def _base_of(name: str) -> tuple[str, str | None] | None:
    """The base that the adapter in a folder stands on, and its revision; None where the name is no such folder."""
    try:
        found = json.loads((Path(name).expanduser() / _CONFIGS[1]).read_text("utf-8"))
        return str(found["base_model_name_or_path"]), found.get("revision")
    except (OSError, ValueError, KeyError, TypeError):
        return None  # whoever reads the folder for training tells what is wrong with it


def _shared(spec: JobSpec) -> Iterator[tuple[str, Pin]]:
    """Each field with several Hub datasets: they share one revision, so none of them can be pinned."""
    for field, dataset in (("dataset", spec.dataset), ("eval_dataset", spec.eval_dataset)):
        if dataset is not None and len(_hub_datasets(dataset)) > 1:
            yield field, Pin(warning=f"{field}: several Hub datasets share one revision, so none is pinned; {_NEWEST}")


def _hub_datasets(dataset: Dataset) -> list[str]:
    return [path for path in dataset.paths if not is_local(path) and "://" not in path]


def _asked(hub: Hub, field: str, kind: str, name: str, revision: str | None) -> Pin:
    from huggingface_hub import errors  # noqa: PLC0415 - slow to import

    def ask() -> str:
        info: Any = hub.api.repo_info(name, repo_type=kind, revision=revision)
        return str(info.sha)

    try:
        commit = hub.ask(ask, f"tell about {name}")
        if kind == "model":
            hub.ask(lambda: _bring_config(hub.api, name, commit), f"send the configuration of {name}")
    except FtsdkError as error:
        problem = _unavailable(error.__cause__, errors, field, kind, name)
        if problem is None:
            raise
        return Pin(problem=problem)
    except OSError as error:  # of this disk: the cache cannot be written
        return Pin(commit, warning=f"{field}: the Hub's cache cannot be written ({error.strerror})")
    return Pin(commit)


def _bring_config(api: "HfApi", name: str, commit: str) -> None:
    """Keep the config file in the cache, which is also how it shows whether the model is gated."""
    from huggingface_hub.errors import RemoteEntryNotFoundError  # noqa: PLC0415 - slow to import

    for config in _CONFIGS[:-1]:
        try:
            api.hf_hub_download(name, config, revision=commit)
        except RemoteEntryNotFoundError:
            continue
        return
    api.hf_hub_download(name, _CONFIGS[-1], revision=commit)


def _unavailable(cause: BaseException | None, errors: Any, field: str, kind: str, name: str) -> Problem | None:
    """What an error of the client says about a name; None where it says nothing about it."""
    if isinstance(cause, errors.GatedRepoError):
        address = page(name if kind == "model" else f"datasets/{name}")
        return Problem(field, f"{name} is gated", f"ask for access at {address}, then set HF_TOKEN")
    if isinstance(cause, errors.RevisionNotFoundError):
        where = "model_revision" if field == "model" else f"{field}.revision"
        return Problem(where, f"{name} has no such revision", "give a branch, a tag or a commit")
    if isinstance(cause, errors.RepositoryNotFoundError):
        what = f"there is no such file or folder here, and the Hub shows no {kind} {name}"
        return Problem(field, what, "check the name; for a private one, set HF_TOKEN")
    if isinstance(cause, errors.RemoteEntryNotFoundError):
        return Problem(field, f"{name} holds no config.json, so it is no model", "give a model")
    return None


def _from_cache(field: str, kind: str, name: str, revision: str | None, *, why: str) -> Pin:
    """The commit that the cache on this disk has for a revision."""
    from huggingface_hub import constants, scan_cache_dir  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import CacheNotFound  # noqa: PLC0415 - same

    wanted = revision or "main"
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        repositories = frozenset()
    for repository in repositories:
        if (repository.repo_type, repository.repo_id) == (kind, name):
            for held in repository.revisions:
                if wanted in held.refs or held.commit_hash == wanted:
                    return Pin(held.commit_hash, warning=f"{field}: {why}; pinned to the commit in its cache")
    place = Path(name).absolute()
    here = f"; nor is there a {place}, should that be meant" if place.parent.is_dir() and "/" in name else ""
    return Pin(warning=f"{field}: {why}{here}; {_NEWEST}")
