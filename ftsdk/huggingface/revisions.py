"""Pin each Hub repository in a spec to a commit, and detect repositories that are missing or gated.

A plan that names no commit would mean another model tomorrow.
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
_TIMEOUTS = Timeouts(call=10.0, retry_policy=RetryPolicy(attempts=2, first_pause=0.2, total_seconds=15.0))
"""Short: a plan can be made without the Hub's answer."""
_NOT_PINNED = "the newest commit at the job's start is taken"


class Pin(NamedTuple):
    """The commit of one repository, or why there is none."""

    revision: str | None = None
    """The commit; None where it is unknown."""
    problem: Problem | None = None
    """Why the repository cannot be used."""
    warning: str = ""
    """Why it is not pinned, or pinned without asking the Hub."""


Pins = Mapping[str, Pin]
"""From a field of the spec (``model``, ``dataset``, ``eval_dataset``, ``method.reward``) to its pin."""


def pin_revisions(spec: JobSpec, extra: str) -> Pins:
    """Ask the Hub for the commit of each repository in a spec, and cache the config files of models.

    Where the Hub cannot be reached, the commit in the Hub's cache on this disk is taken.

    Args:
        spec: The spec.
        extra: The extra that brings the Hub's client.
    """
    repositories, unpinned = dict(_repositories(spec)), dict(_unpinned_datasets(spec))
    if not repositories:
        return unpinned
    try:
        with connected(extra, _TIMEOUTS, anonymous=True) as hub:
            return unpinned | {field: _pin_online(hub, field, *place) for field, place in repositories.items()}
    except MissingExtra:
        warning = f"huggingface_hub is not installed; {_NOT_PINNED}"
        return unpinned | {field: Pin(warning=f"{field}: {warning}") for field in repositories}
    except UnreachableError as error:
        reason = error.message
        return unpinned | {field: _pin_from_cache(field, *place, reason) for field, place in repositories.items()}


def pinned_commits(ledger: Ledger, pins: Pins) -> dict[str, str]:
    """The known commits by their field; repositories that cannot be used are refused in the ledger."""
    for pin in pins.values():
        if pin.problem:
            ledger.refuse(*pin.problem)
    return {field: pin.revision for field, pin in pins.items() if pin.revision}


def pin_warnings(pins: Pins) -> list[str]:
    """What the plan warns about pins."""
    return [pin.warning for pin in pins.values() if pin.warning]


def _repositories(spec: JobSpec) -> Iterator[tuple[str, tuple[str, str, str | None]]]:
    """Each field that names a repository, with the repository's type, name and requested revision."""
    # An adapter in a folder has no commit of its own; its base model has one.
    model, revision = _adapter_base(spec.model) or (spec.model, spec.model_revision)
    if is_hub_id(model):
        yield "model", ("model", model, revision)
    reward = getattr(spec.method, "reward", None)
    if reward and not is_function(reward) and is_hub_id(reward):
        yield "method.reward", ("model", reward, None)
    for field, dataset in (("dataset", spec.dataset), ("eval_dataset", spec.eval_dataset)):
        if dataset is not None and len(names := _hub_datasets(dataset)) == 1:
            yield field, ("dataset", names[0], dataset.revision)


def _adapter_base(folder: str) -> tuple[str, str | None] | None:
    """The base model of the adapter in a folder, and its revision; None where the name is no such folder."""
    try:
        config = json.loads((Path(folder).expanduser() / ADAPTER_CONFIG).read_text("utf-8"))
        return str(config["base_model_name_or_path"]), config.get("revision")
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a damaged file is reported where the folder is read for training


def _unpinned_datasets(spec: JobSpec) -> Iterator[tuple[str, Pin]]:
    """Each field with several Hub datasets: the spec has one revision for all, so none of them can be pinned."""
    for field, dataset in (("dataset", spec.dataset), ("eval_dataset", spec.eval_dataset)):
        if dataset is not None and len(_hub_datasets(dataset)) > 1:
            yield (
                field,
                Pin(warning=f"{field}: several Hub datasets share one revision, so none is pinned; {_NOT_PINNED}"),
            )


def _hub_datasets(dataset: Dataset) -> list[str]:
    return [path for path in dataset.paths if not is_local(path) and "://" not in path]


def _pin_online(hub: Hub, field: str, kind: str, name: str, revision: str | None) -> Pin:
    from huggingface_hub import errors  # noqa: PLC0415 - slow to import

    def ask() -> str:
        info: Any = hub.api.repo_info(name, repo_type=kind, revision=revision)
        return str(info.sha)

    try:
        commit = hub.ask(ask, f"describe {name}")
        if kind == "model":
            hub.ask(lambda: _download_config(hub.api, name, commit), f"send the configuration of {name}")
    except FtsdkError as error:
        problem = _unavailable(error.__cause__, errors, field, kind, name)
        if problem is None:
            raise
        return Pin(problem=problem)
    except OSError as error:  # of this disk: the cache cannot be written
        return Pin(commit, warning=f"{field}: the Hub's cache cannot be written ({error.strerror})")
    return Pin(commit)


def _download_config(api: "HfApi", name: str, commit: str) -> None:
    """Download the config file into the Hub's cache."""
    from huggingface_hub.errors import RemoteEntryNotFoundError  # noqa: PLC0415 - slow to import

    # Only a download shows that a model is gated: the Hub describes gated repositories to everybody.
    for config in _CONFIGS[:-1]:
        try:
            api.hf_hub_download(name, config, revision=commit)
        except RemoteEntryNotFoundError:
            continue
        return
    api.hf_hub_download(name, _CONFIGS[-1], revision=commit)


def _unavailable(cause: BaseException | None, errors: Any, field: str, kind: str, name: str) -> Problem | None:
    """The problem that an error of the client means for a repository; None where it means none."""
    if isinstance(cause, errors.GatedRepoError):
        address = page(name if kind == "model" else f"datasets/{name}")
        return Problem(field, f"{name} is gated", f"ask for access at {address}, then set HF_TOKEN")
    if isinstance(cause, errors.RevisionNotFoundError):
        revision_field = "model_revision" if field == "model" else f"{field}.revision"
        return Problem(revision_field, f"{name} has no such revision", "give a branch, a tag or a commit")
    if isinstance(cause, errors.RepositoryNotFoundError):
        message = f"there is no such file or folder here, and the Hub shows no {kind} {name}"
        return Problem(field, message, "check the name; for a private one, set HF_TOKEN")
    if isinstance(cause, errors.RemoteEntryNotFoundError):
        return Problem(field, f"{name} holds no config.json, so it is no model", "give a model")
    return None


def _pin_from_cache(field: str, kind: str, name: str, revision: str | None, reason: str) -> Pin:
    """Pin to the commit that the Hub's cache on this disk has for a revision."""
    from huggingface_hub import constants, scan_cache_dir  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import CacheNotFound  # noqa: PLC0415 - same

    reference = revision or "main"
    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        repositories = frozenset()
    for repository in repositories:
        if (repository.repo_type, repository.repo_id) == (kind, name):
            for cached in repository.revisions:
                if reference in cached.refs or cached.commit_hash == reference:
                    return Pin(cached.commit_hash, warning=f"{field}: {reason}; pinned to the commit in its cache")
    # Offline, ``org/name`` may as well be a mistyped path.
    path = Path(name).absolute()
    hint = f"; nor is there a {path}, should that be meant" if path.parent.is_dir() and "/" in name else ""
    return Pin(warning=f"{field}: {reason}{hint}; {_NOT_PINNED}")
