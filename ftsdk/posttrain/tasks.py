"""Tasks of lm-evaluation-harness, on a model that is in memory already; what may run is what the user asked for."""

import difflib
import logging
import math
import random
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch

from ftsdk.artifact import Comparison, EvaluationSettings, TaskResult
from ftsdk.errors import InputError, MissingExtra, UnreachableError
from ftsdk.posttrain.task_files import TRUST, check_plain, group_in
from ftsdk.posttrain.task_rows import row_without_answer

_BOOTSTRAPS = 1000
"""Resamplings for standard errors that have no formula; the harness makes them by the thousand, each in a process."""

_FAR = frozenset(
    {"ConnectionError", "OfflineModeIsEnabled", "ConnectTimeout", "LocalEntryNotFoundError", "DatasetNotFoundError"}
)
"""Errors of the libraries of datasets that mean: the rows are elsewhere, and cannot be had now."""


class Loaded(NamedTuple):
    """Tasks with their rows, in the harness's own form."""

    tasks: dict[str, Any]
    groups: dict[str, Any]
    children: dict[str, list[str]]


def load(wanted: EvaluationSettings) -> Loaded | None:
    """The tasks that are asked for, with their rows; None: none is.

    Raises:
        InputError: A task is unknown, brings code that nobody asked for, or cannot be used.
        MissingExtra: The harness is not installed.
        UnreachableError: A task's rows are elsewhere.
    """
    if not wanted.tasks:
        return None
    files = {name: Path(name).expanduser().resolve() for name in wanted.tasks if _is_file(name)}
    if not wanted.trust_task_code:
        for file in files.values():
            check_plain(file)
    groups = {name: group for name, file in files.items() if (group := group_in(file))}
    with _quietly(), _only_what_is_asked(trust=wanted.trust_task_code) as refused:
        manager = _manager(wanted.tasks, {files[name].parent for name in groups}, alone=files.keys() - groups.keys())
        if not wanted.trust_task_code:
            for file in _neighbours(manager, files, groups):
                check_plain(file)
        found = Loaded({}, {}, {})
        for name in wanted.tasks:
            one = _one(manager, name, groups.get(name) or str(files.get(name, name)), refused)
            found.tasks.update(one["tasks"])
            found.groups.update(one.get("groups") or {})
            found.children.update(one.get("group_map") or {})
        _refuse_execution(found.tasks, trust=wanted.trust_task_code)
        _refuse_no_answer(found.tasks, wanted.limit)
        return found


def _neighbours(manager: Any, files: Mapping[str, Path], groups: Mapping[str, str]) -> set[Path]:
    """The task files that lie with a group's, which it may name; not the harness's own, wherever it is installed."""
    import lm_eval  # noqa: PLC0415 - of an extra

    folders = {files[name].parent for name in groups}
    paths = {Path(entry.yaml_path).resolve() for entry in manager.task_index.values() if entry.yaml_path}
    theirs = {path for path in paths if path.is_relative_to(Path(lm_eval.__file__).resolve().parent)}
    return {path for path in paths - theirs if any(path.is_relative_to(folder) for folder in folders)}


def run(loaded: Loaded, model: Any, tokenizer: Any, wanted: EvaluationSettings) -> Mapping[str, Any]:
    """What the harness says of a model.

    Raises:
        InputError: A task does not go with the model.
    """
    with _quietly(), _only_what_is_asked(trust=wanted.trust_task_code):
        from lm_eval.evaluator import evaluate  # noqa: PLC0415 - heavy, and of an extra
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

        _begin_anew(loaded, wanted)
        try:
            return dict(
                evaluate(
                    lm=HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=wanted.batch_size),
                    task_dict={"tasks": loaded.tasks, "groups": loaded.groups, "group_map": loaded.children},
                    limit=wanted.limit,
                    log_samples=False,
                    bootstrap_iters=_BOOTSTRAPS,
                    apply_chat_template=wanted.chat,
                    fewshot_as_multiturn=wanted.chat,
                    confirm_run_unsafe_code=wanted.trust_task_code,
                )
            )
        except (KeyError, TypeError, ValueError, ImportError, LookupError) as error:
            raise _unusable(", ".join(wanted.tasks), error) from error


def compared(base: Mapping[str, Any], artifact: Mapping[str, Any]) -> tuple[TaskResult, ...]:
    """Both columns of each task and group."""
    return tuple(_compared(name, base, artifact) for name in base["results"])


def _compared(name: str, base: Mapping[str, Any], artifact: Mapping[str, Any]) -> TaskResult:
    one, other = base["results"][name], artifact["results"][name]
    better = base.get("higher_is_better", {}).get(name) or {}
    version = base.get("versions", {}).get(name)
    keys = [key for key in one if "," in key and "_stderr," not in key]
    return TaskResult(
        task=name,
        version="" if version is None else str(version),
        rows=int(one.get("sample_len") or base["n-samples"][name]["effective"]),
        shots=base.get("n-shot", {}).get(name),
        metrics=tuple(
            Comparison(
                metric=key.removesuffix(",none"),
                base=_number(one[key]),
                artifact=_number(other.get(key)),
                base_stderr=_number(one.get(_stderr(key))),
                artifact_stderr=_number(other.get(_stderr(key))),
                higher_is_better=better.get(key.partition(",")[0]),
            )
            for key in keys
        ),
    )


def _stderr(key: str) -> str:
    metric, _, answers = key.partition(",")
    return f"{metric}_stderr,{answers}"


def _number(found: Any) -> float | None:
    """None for what is no finite number: the harness writes N/A."""
    return float(found) if isinstance(found, int | float | np.number) and math.isfinite(found) else None


def _manager(names: Sequence[str], folders: Collection[Path], alone: Collection[str]) -> Any:
    """The harness's index of tasks.

    Args:
        names: What is asked for.
        folders: Of groups' files, whose neighbours belong to the index.
        alone: Names of files that need no index: to read the harness's fifteen thousand tasks takes its time.
    """
    try:
        from lm_eval.tasks import TaskManager  # noqa: PLC0415 - of an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("evaluate", error.name or "lm_eval") from error
    manager = TaskManager(include_path=sorted(folders), include_defaults=not set(names) <= set(alone))
    strange = [name for name in names if not _is_file(name) and name not in manager.task_index]
    if strange:
        near = difflib.get_close_matches(strange[0], manager.all_tasks, n=3)
        raise InputError(
            f"there is neither a task {strange[0]!r} in lm-evaluation-harness nor such a file",
            hint=f"did you mean {', '.join(near)}?" if near else "lm_eval ls tasks lists them all",
        )
    return manager


def _is_file(name: str) -> bool:
    return name.lower().endswith((".yaml", ".yml"))


def _one(manager: Any, name: str, known_as: str, refused: Sequence[str]) -> Mapping[str, Any]:
    """One task or group with its rows; ``known_as`` is the harness's name for it, or the file."""
    try:
        loaded: Mapping[str, Any] = manager.load([known_as])
    except Exception as error:  # each dataset and task has its own errors; all mean the same to the user
        if refused:  # the harness has caught our error, and stumbled over what was missing then
            what = f"the task {name} wants the metric {refused[0]!r}, which comes as code from elsewhere"
            raise InputError(what, hint=f"take a metric of lm-evaluation-harness's own; {TRUST}") from error
        raise _unusable(name, error) from error
    return loaded


def _unusable(name: str, error: BaseException) -> Exception:
    """Our error for theirs."""
    said = str(error).partition("\n")[0]
    kinds = {type(cause).__name__ for cause in _causes(error)}
    if "SecurityError" in kinds:
        return InputError(f"the task {name} reaches out of its template's sandbox: {said}", hint=TRUST)
    if kinds & _FAR:
        return UnreachableError(
            f"the rows of the task {name} cannot be had: {said}",
            hint="check its dataset's name, the network and HF_HUB_OFFLINE; or give a task file with local rows",
        )
    return InputError(
        f"the task {name} cannot be used: {type(error).__name__}: {said}",
        hint="mend the task file, or take another task; its needs stand in lm-evaluation-harness's own page of it",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refuse_execution(tasks: Mapping[str, Any], *, trust: bool) -> None:
    executing = [name for name, task in tasks.items() if getattr(task, "UNSAFE_CODE", False)]
    if executing and not trust:
        raise InputError(f"the task {executing[0]} executes code that the model writes", hint=TRUST)


def _refuse_no_answer(tasks: Mapping[str, Any], limit: int | None) -> None:
    for name, task in tasks.items():
        try:
            wrong = row_without_answer(task, limit)
        except Exception as error:  # a template may fail in any way
            raise _unusable(name, error) from error
        if wrong:
            what = f"the task {name} cannot be answered: {wrong}"
            raise InputError(what, hint="mend doc_to_target, or the rows: a column, a number, or one of doc_to_choice")


def _begin_anew(loaded: Loaded, wanted: EvaluationSettings) -> None:
    """The same chance, and the same examples, for both models."""
    random.seed(wanted.seed)
    np.random.seed(wanted.seed)  # noqa: NPY002 - the harness draws from it
    torch.manual_seed(wanted.seed)
    for task in loaded.tasks.values():
        shots = task.get_config("num_fewshot")
        if wanted.num_fewshot is not None and shots != 0:  # a task that says 0 cannot show any
            shots = wanted.num_fewshot
        task.set_config(key="num_fewshot", value=shots or 0)
        task.set_fewshot_seed(seed=wanted.seed)


@contextmanager
def _only_what_is_asked(*, trust: bool) -> Iterator[list[str]]:
    """Templates of tasks in a sandbox, and no metric that comes as code: unless the user trusts it.

    Gives the names of metrics that were refused.
    """
    refused: list[str] = []
    if trust:
        yield refused
        return
    try:
        import evaluate  # noqa: PLC0415 - comes with the harness
        from lm_eval import utils  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("evaluate", error.name or "lm_eval") from error

    def refuse(name: str, *_: Any, **__: Any) -> NoReturn:
        refused.append(name)
        raise InputError(f"the metric {name!r} comes as code from elsewhere", hint=TRUST)

    rendering, fetching = utils.env, evaluate.load
    utils.env, evaluate.load = _sandbox_like(rendering), refuse
    try:
        yield refused
    finally:
        utils.env, evaluate.load = rendering, fetching


def _sandbox_like(rendering: Any) -> Any:
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415 - comes with the harness

    sandbox = SandboxedEnvironment(undefined=rendering.undefined, keep_trailing_newline=rendering.keep_trailing_newline)
    sandbox.filters |= rendering.filters
    return sandbox


@contextmanager
def _quietly() -> Iterator[None]:
    """Without remarks of the harness that are for those who call it."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(before)
