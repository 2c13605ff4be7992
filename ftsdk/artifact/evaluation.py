"""What an evaluation is asked for, and what it finds: base and artifact side by side."""

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
    """Rows for the loss, in a form that the method learns from. None: those that the job itself held out."""
    held_out: bool = True
    """Whether the rows that the job held out are looked at, where ``dataset`` names no others."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Only the first rows of each task and of the held-out rows, this many. None: all."""
    samples: Annotated[int, Field(ge=0)] = 3
    """Held-out prompts that both models answer, side by side."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest of these answers, in tokens."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """Solved examples before each question of a task. None: as the task says."""
    chat: bool = False
    """Ask the questions of tasks through the chat template."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Questions of tasks at a time."""
    trust_task_code: bool = False
    """Run Python that a task file names, tasks that execute what the model writes, and metrics that come as code."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides which solved examples are shown, and whatever else a task leaves to chance."""


class Comparison(Section):
    """One metric of both models."""

    metric: str
    """Its name; with the filter of the answers behind a comma, where a task has several."""
    base: float | None
    """Of the base model. None: it is no number."""
    artifact: float | None
    """Of the artifact."""
    base_stderr: float | None = None
    """Standard error of ``base``, where the task gives one."""
    artifact_stderr: float | None = None
    """Standard error of ``artifact``."""
    higher_is_better: bool | None = None
    """None: the task does not say."""

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
    """What one task, or one group of tasks, found."""

    task: str
    """Its name."""
    version: str
    """Of the task: numbers of different versions are not to be compared. Empty: it has none."""
    rows: int
    """Questions that were asked."""
    shots: int | None
    """Solved examples before each. None: for a group, whose tasks may differ."""
    metrics: tuple[Comparison, ...]


class HeldOut(Section):
    """The loss on rows that were not learned from."""

    origin: Literal["job", "dataset"]
    """Whether the job held them out, or they were given."""
    files: dict[str, str]
    """From each file to the sha256 of its bytes; empty for rows of the Hub, which a commit names."""
    rows: int
    tokens: int
    """Those that carry loss: all means of losses are over them; for pairs, over pairs."""
    metrics: tuple[Comparison, ...]
    """``loss`` in nats, ``perplexity`` = exp(loss); of pairs also ``accuracy`` and ``margin``."""


class Sample(Section):
    """One prompt and both answers to it, each token the likeliest one."""

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
    """What was asked for."""
    held_out: HeldOut | None
    """None: no rows were held out or given."""
    tasks: tuple[TaskResult, ...] = ()
    samples: tuple[Sample, ...] = ()
    dtype: str
    """The precision of the computation."""
    quantization: str
    """How the base was held, such as ``nf4``; empty: not quantized."""
    versions: dict[str, str]
    """Of the packages that took part."""
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
