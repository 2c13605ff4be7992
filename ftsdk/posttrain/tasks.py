"""Run tasks of lm-evaluation-harness on a loaded model. Code that comes with a task runs only if the user trusts it."""

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
from ftsdk.posttrain.task_files import TRUST, check_no_code, group_name
from ftsdk.posttrain.task_rows import row_without_answer

_BOOTSTRAPS = 1000
"""Resamplings for standard errors without a formula; the harness starts a process for each thousand."""

_UNREACHABLE = frozenset(
    {"ConnectionError", "OfflineModeIsEnabled", "ConnectTimeout", "LocalEntryNotFoundError", "DatasetNotFoundError"}
)
"""Errors of the Hub's and HTTP's libraries which mean that rows cannot be downloaded. By name, since the libraries
are many, and some define the same one."""


class LoadedTasks(NamedTuple):
    """Tasks with their rows, as objects of the harness."""

    tasks: dict[str, Any]
    groups: dict[str, Any]
    children: dict[str, list[str]]
    """From a group to the names of its tasks."""


def load_tasks(options: EvaluationSettings) -> LoadedTasks | None:
    """The requested tasks with their rows; None if none is requested.

    Raises:
        InputError: A task is unknown, holds code that is not trusted, or cannot be used.
        MissingExtra: The harness is not installed.
        UnreachableError: A task's rows cannot be downloaded.
    """
    if not options.tasks:
        return None
    files = {name: Path(name).expanduser().resolve() for name in options.tasks if _is_file(name)}
    if not options.trust_task_code:
        for file in files.values():
            check_no_code(file)
    groups = {name: group for name, file in files.items() if (group := group_name(file))}
    with _quiet_harness(), _restricted_harness(trust=options.trust_task_code) as refused_metrics:
        manager = _task_manager(
            options.tasks, {files[name].parent for name in groups}, alone=files.keys() - groups.keys()
        )
        if not options.trust_task_code:
            for file in _sibling_files(manager, files, groups):
                check_no_code(file)
        loaded = LoadedTasks({}, {}, {})
        for name in options.tasks:
            harness_name = groups.get(name) or str(files.get(name, name))
            parts = _load_task(manager, name, harness_name, refused_metrics)
            loaded.tasks.update(parts["tasks"])
            loaded.groups.update(parts.get("groups") or {})
            loaded.children.update(parts.get("group_map") or {})
        _refuse_execution(loaded.tasks, trust=options.trust_task_code)
        _refuse_no_answer(loaded.tasks, options.limit)
        return loaded


def _sibling_files(manager: Any, files: Mapping[str, Path], groups: Mapping[str, str]) -> set[Path]:
    """The task files in the folders of groups, which a group may name; without the harness's own."""
    import lm_eval  # noqa: PLC0415 - of an extra

    folders = {files[name].parent for name in groups}
    paths = {Path(entry.yaml_path).resolve() for entry in manager.task_index.values() if entry.yaml_path}
    # The harness may be installed below such a folder. Its own tasks name functions, and count as trusted.
    own_tasks = {path for path in paths if path.is_relative_to(Path(lm_eval.__file__).resolve().parent)}
    return {path for path in paths - own_tasks if any(path.is_relative_to(folder) for folder in folders)}


def run_tasks(loaded: LoadedTasks, model: Any, tokenizer: Any, options: EvaluationSettings) -> Mapping[str, Any]:
    """The harness's results for a model.

    Raises:
        InputError: A task does not work with the model.
    """
    with _quiet_harness(), _restricted_harness(trust=options.trust_task_code):
        from lm_eval.evaluator import evaluate  # noqa: PLC0415 - heavy, and of an extra
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

        _reset_seeds(loaded, options)
        try:
            return dict(
                evaluate(
                    lm=HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=options.batch_size),
                    task_dict={"tasks": loaded.tasks, "groups": loaded.groups, "group_map": loaded.children},
                    limit=options.limit,
                    log_samples=False,
                    bootstrap_iters=_BOOTSTRAPS,
                    apply_chat_template=options.chat,
                    fewshot_as_multiturn=options.chat,
                    confirm_run_unsafe_code=options.trust_task_code,
                )
            )
        except (KeyError, TypeError, ValueError, ImportError, LookupError) as error:
            raise _translated(", ".join(options.tasks), error) from error


def compare_results(base: Mapping[str, Any], artifact: Mapping[str, Any]) -> tuple[TaskResult, ...]:
    """The results of both models for each task and group, side by side."""
    return tuple(_compare_task(name, base, artifact) for name in base["results"])


def _compare_task(name: str, base: Mapping[str, Any], artifact: Mapping[str, Any]) -> TaskResult:
    base_results, results = base["results"][name], artifact["results"][name]
    better = base.get("higher_is_better", {}).get(name) or {}
    version = base.get("versions", {}).get(name)
    keys = [key for key in base_results if "," in key and "_stderr," not in key]
    return TaskResult(
        task=name,
        version="" if version is None else str(version),
        rows=int(base_results.get("sample_len") or base["n-samples"][name]["effective"]),
        shots=base.get("n-shot", {}).get(name),
        metrics=tuple(
            Comparison(
                metric=key.removesuffix(",none"),
                base=_finite(base_results[key]),
                artifact=_finite(results.get(key)),
                base_stderr=_finite(base_results.get(_stderr_key(key))),
                artifact_stderr=_finite(results.get(_stderr_key(key))),
                higher_is_better=better.get(key.partition(",")[0]),
            )
            for key in keys
        ),
    )


def _stderr_key(key: str) -> str:
    metric, _, answer_filter = key.partition(",")
    return f"{metric}_stderr,{answer_filter}"


def _finite(number: Any) -> float | None:
    """None for anything but a finite number: the harness writes N/A, and JSON has no NaN."""
    return float(number) if isinstance(number, int | float | np.number) and math.isfinite(number) else None


def _task_manager(names: Sequence[str], folders: Collection[Path], alone: Collection[str]) -> Any:
    """The harness's index of tasks.

    Args:
        names: The requested tasks.
        folders: Of groups' files; the other task files in them belong to the index.
        alone: Names of files that need no index: reading the harness's fifteen thousand tasks takes seconds.
    """
    try:
        from lm_eval.tasks import TaskManager  # noqa: PLC0415 - of an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("evaluate", error.name or "lm_eval") from error
    manager = TaskManager(include_path=sorted(folders), include_defaults=not set(names) <= set(alone))
    unknown = [name for name in names if not _is_file(name) and name not in manager.task_index]
    if unknown:
        matches = difflib.get_close_matches(unknown[0], manager.all_tasks, n=3)
        raise InputError(
            f"there is neither a task {unknown[0]!r} in lm-evaluation-harness nor such a file",
            hint=f"did you mean {', '.join(matches)}?" if matches else "lm_eval ls tasks lists all of them",
        )
    return manager


def _is_file(name: str) -> bool:
    return name.lower().endswith((".yaml", ".yml"))


def _load_task(manager: Any, name: str, harness_name: str, refused_metrics: Sequence[str]) -> Mapping[str, Any]:
    """One task or group with its rows.

    Args:
        manager: The harness's index.
        name: As the user gave it, for errors.
        harness_name: The harness's name of it, or the file.
        refused_metrics: Names of metrics that came as code; filled while the task is loaded.
    """
    try:
        loaded: Mapping[str, Any] = manager.load([harness_name])
    except Exception as error:  # datasets and templates raise errors of any class
        if refused_metrics:
            # The harness catches the error of the refusal, and fails later, because the metric is missing.
            problem = f"the task {name} needs the metric {refused_metrics[0]!r}, which comes as code from elsewhere"
            raise InputError(problem, hint=f"take a metric of lm-evaluation-harness's own; {TRUST}") from error
        raise _translated(name, error) from error
    return loaded


def _translated(name: str, error: BaseException) -> Exception:
    """The harness's error as one of ours."""
    message = str(error).partition("\n")[0]
    names = {type(cause).__name__ for cause in _error_chain(error)}
    if "SecurityError" in names:
        return InputError(f"the task {name} has a template that its sandbox does not allow: {message}", hint=TRUST)
    if names & _UNREACHABLE:
        return UnreachableError(
            f"the rows of the task {name} cannot be downloaded: {message}",
            hint="check its dataset's name, the network and HF_HUB_OFFLINE; or give a task file with local rows",
        )
    return InputError(
        f"the task {name} cannot be used: {type(error).__name__}: {message}",
        hint="correct the task file, or take another task; lm-evaluation-harness documents what its own tasks need",
    )


def _error_chain(error: BaseException | None) -> Iterator[BaseException]:
    # Contexts count, too: the harness often raises a new error in an except block, without "from".
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
            bad_row = row_without_answer(task, limit)
        except Exception as error:  # templates raise errors of any class
            raise _translated(name, error) from error
        if bad_row:
            problem = f"the task {name} cannot be answered: {bad_row}"
            hint = "correct doc_to_target, which names a column, a number or one of doc_to_choice; or correct the rows"
            raise InputError(problem, hint=hint)


def _reset_seeds(loaded: LoadedTasks, options: EvaluationSettings) -> None:
    """Give both models the same random numbers, and the same solved examples."""
    # Both models use the same task objects, whose random generators would go on where the first model left them.
    random.seed(options.seed)
    np.random.seed(options.seed)  # noqa: NPY002 - the harness draws from it
    torch.manual_seed(options.seed)
    for task in loaded.tasks.values():
        shots = task.get_config("num_fewshot")
        if options.num_fewshot is not None and shots != 0:  # a task that sets 0 has no rows to show
            shots = options.num_fewshot
        task.set_config(key="num_fewshot", value=shots or 0)
        task.set_fewshot_seed(seed=options.seed)


@contextmanager
def _restricted_harness(*, trust: bool) -> Iterator[list[str]]:
    """Unless the user trusts the tasks' code, render their templates in a sandbox and refuse metrics that are code.

    Yields:
        The names of metrics that were refused.
    """
    refused_metrics: list[str] = []
    if trust:
        yield refused_metrics
        return
    try:
        import evaluate  # noqa: PLC0415 - comes with the harness
        from lm_eval import utils  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("evaluate", error.name or "lm_eval") from error

    def refuse(name: str, *_: Any, **__: Any) -> NoReturn:
        refused_metrics.append(name)
        raise InputError(f"the metric {name!r} comes as code from elsewhere", hint=TRUST)

    # The harness has no setting for either, so its module attributes are replaced. Its one Jinja environment,
    # utils.env, renders all templates without a sandbox; a template is data to YAML, but can reach any Python object.
    # A metric that the harness lacks goes to evaluate.load, which downloads a script from the Hub and imports it.
    environment, load_metric = utils.env, evaluate.load
    utils.env, evaluate.load = _sandboxed(environment), refuse
    try:
        yield refused_metrics
    finally:
        utils.env, evaluate.load = environment, load_metric


def _sandboxed(environment: Any) -> Any:
    """A sandbox that renders as a Jinja environment does, with its filters (such as the harness's regex_replace)."""
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415 - comes with the harness

    sandbox = SandboxedEnvironment(
        undefined=environment.undefined, keep_trailing_newline=environment.keep_trailing_newline
    )
    sandbox.filters |= environment.filters
    return sandbox


@contextmanager
def _quiet_harness() -> Iterator[None]:
    """Switch off the harness's log lines and warnings, which are for its own users."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
