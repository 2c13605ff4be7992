"""The settings of an evaluation, and its results: base and artifact side by side."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from ftsdk.spec import Dataset
from ftsdk.spec.base import Section


class EvaluationSettings(Section):
    """What to evaluate, and how."""

    tasks: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Tasks of lm-evaluation-harness: names such as ``mmlu``, or YAML files."""
    dataset: Dataset | None = None
    """Rows for the loss, in a format that the method trains on. None: those that the job itself held out."""
    held_out: bool = True
    """Whether the job's held-out rows are measured, if ``dataset`` is None."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Only the first rows of each task and of the held-out rows, this many. None: all."""
    samples: Annotated[int, Field(ge=0)] = 3
    """Held-out prompts that both models answer, side by side."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest of these answers, in tokens."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """Solved examples before each question of a task. None: the task decides."""
    chat: bool = False
    """Ask the questions of tasks through the chat template."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Questions of tasks at a time."""
    trust_task_code: bool = False
    """Run Python that a task file names, tasks that execute what the model writes, and metrics that come as code."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the choice of solved examples, and of everything else that is random in a task."""


class Comparison(Section):
    """One metric of both models."""

    metric: str
    """Its name; with the filter of the answers behind a comma, where a task has several."""
    base: float | None
    """Of the base model. None: the task gives no finite number."""
    artifact: float | None
    """Of the artifact."""
    base_stderr: float | None = None
    """Standard error of ``base``, where the task gives one."""
    artifact_stderr: float | None = None
    """Standard error of ``artifact``."""
    higher_is_better: bool | None = None
    """None: the task does not state it."""

    @property
    def base_text(self) -> str:
        """The base's number for people, with its standard error where it has one."""
        return _text(self.base, self.base_stderr)

    @property
    def artifact_text(self) -> str:
        """The artifact's number, likewise."""
        return _text(self.artifact, self.artifact_stderr)


def _text(number: float | None, stderr: float | None) -> str:
    text = "-" if number is None else f"{number:.4f}"
    return text if stderr is None else f"{text} ± {stderr:.4f}"


class TaskResult(Section):
    """The results of one task, or of one group of tasks."""

    task: str
    """Its name."""
    version: str
    """Of the task: numbers of different versions cannot be compared. Empty: it has none."""
    rows: int
    """Number of questions."""
    shots: int | None
    """Solved examples before each. None: for a group, whose tasks may differ."""
    metrics: tuple[Comparison, ...]


class HeldOut(Section):
    """The metrics on rows that were not trained on."""

    origin: Literal["job", "dataset"]
    """Whether the job held them out, or ``dataset`` named them."""
    files: dict[str, str]
    """From each file to the sha256 of its bytes; empty for rows of the Hub, which a commit identifies."""
    rows: int
    tokens: int
    """Those that carry loss. Mean losses are over these tokens; for pairs, over pairs."""
    metrics: tuple[Comparison, ...]
    """``loss`` in nats, ``perplexity`` = exp(loss); of pairs also ``accuracy`` and ``margin``."""


class Sample(Section):
    """One prompt and both models' answers, without sampling: each token is the likeliest one."""

    prompt: str | list[dict[str, Any]]
    expected: str
    """The row's own answer; empty where it has none."""
    base: str
    artifact: str


class Evaluation(Section):
    """Base and artifact, measured by the same code in the same precision."""

    base_model: str
    """The base model's id or folder."""
    base_model_revision: str | None
    job: str
    """The reference of the job that made the artifact."""
    weights: dict[str, str]
    """From each of the artifact's files of weights to its sha256."""
    method: str
    settings: EvaluationSettings
    """Of this evaluation."""
    held_out: HeldOut | None
    """None: there were no held-out rows, and ``dataset`` named none."""
    tasks: tuple[TaskResult, ...] = ()
    samples: tuple[Sample, ...] = ()
    dtype: str
    """The precision of the computation."""
    quantization: str
    """Of the base, such as ``nf4``; empty: not quantized."""
    versions: dict[str, str]
    """From each package that was used to its version."""
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
