"""The artifact itself, and what is done with it: generate, evaluate, merge, quantize, publish."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from ftsdk.artifact.evaluation import Evaluation, EvaluationSettings
from ftsdk.artifact.manifest import MANIFEST, Kind, Manifest, read_manifest
from ftsdk.artifact.sealing import verify, write_sealed
from ftsdk.artifact.template import check_template
from ftsdk.errors import InputError, MissingExtra
from ftsdk.files import sha256
from ftsdk.plugins import STEPS, load_plugin
from ftsdk.spec import Dataset
from ftsdk.spec.base import Section
from ftsdk.spec.validation_messages import problems_of

Prompt = str | list[dict[str, Any]]


class LoadedModel(Protocol):
    """A loaded model that answers prompts; the step ``load`` returns one for a folder."""

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        """One answer per prompt."""


class Artifact(Section):
    """A folder with a PEFT adapter or a whole model, and the manifest of its origin."""

    path: Path
    """The folder."""
    kind: Kind
    """A PEFT adapter for ``base_model``, or a model that stands alone."""
    base_model: str
    """The base model's id or folder."""

    @classmethod
    def open(cls, folder: Path | str) -> "Artifact":
        """The artifact in a folder, verified.

        Raises:
            ArtifactError: The folder is damaged or unsafe, or holds no artifact.
        """
        manifest = verify(Path(folder))
        return cls(path=Path(folder), kind=manifest.kind, base_model=manifest.base_model)

    @property
    def manifest(self) -> Manifest:
        """Its origin and files; read from disk each time."""
        return read_manifest(self.path)

    def verify(self) -> None:
        """Check that every file is as it was sealed, and that the chat template is the trained one.

        Raises:
            ArtifactError: With the first file that is not.
        """
        check_template(self.path, verify(self.path))

    def generate(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int = 64, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """Generate with the artifact on this machine. The model that was loaded last is kept for the next call.

        Args:
            prompts: Texts to continue, or lists of chat messages (``role``, ``content``) to answer.
            max_new_tokens: Longest answer, in tokens.
            temperature: Of sampling; at 0 the likeliest token is taken each time.
            seed: Of the sampling.

        Raises:
            MissingExtra: The packages that run a model are not installed.
            ArtifactError: The artifact is damaged or unsafe.
            InputError: ``prompts`` is a single text.
        """
        if isinstance(prompts, str):
            raise InputError("prompts is one text, not a list of texts", hint="generate([text])")
        sealed = sha256(self.path / MANIFEST) if (self.path / MANIFEST).is_file() else ""
        generator = _load(self.path.absolute(), sealed)
        return generator.generate(prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)

    def evaluate(
        self,
        *,
        tasks: Sequence[str] = (),
        dataset: Dataset | Path | str | None = None,
        limit: int | None = None,
        samples: int = 3,
        **more: Any,
    ) -> Evaluation:
        """Measure the artifact beside its base, on this machine: the same code, the same precision.

        Args:
            tasks: Of lm-evaluation-harness: names such as ``mmlu``, or YAML files.
            dataset: Rows for the loss. None: the rows that the job held out, if it did.
            limit: Only the first rows of each task and of the held-out rows, this many.
            samples: Number of held-out prompts that both models answer.
            more: Other fields of :class:`ftsdk.artifact.EvaluationSettings`.

        Raises:
            InputError: There is nothing to measure, or a setting or a task is wrong.
            DataError: The held-out rows are missing or have changed.
            ArtifactError: The artifact is damaged or unsafe, or its base cannot be loaded.
            MissingExtra: The packages that it needs are not installed.
            UnreachableError: A task's rows cannot be downloaded.
        """
        if isinstance(tasks, str):
            raise InputError("tasks is one text, not a list of texts", hint="evaluate(tasks=[name])")
        rows = str(dataset) if isinstance(dataset, Path) else dataset
        try:
            options = EvaluationSettings.model_validate(
                {"tasks": tuple(map(str, tasks)), "dataset": rows, "limit": limit, "samples": samples, **more}
            )
        except ValidationError as error:
            raise InputError("this cannot be evaluated", problems=problems_of(error)) from error
        verify(self.path)
        measure: Callable[[Path, EvaluationSettings], Evaluation] = load_plugin(STEPS, "evaluate", extra="local")
        try:
            return measure(self.path.absolute(), options)
        except ModuleNotFoundError as error:  # some packages are imported only once they are needed
            raise MissingExtra("local", error.name or str(error)) from error

    def push_to_hub(self, repository: str, *, private: bool = True, evaluation: Evaluation | None = None) -> str:
        """Upload the artifact to the Hugging Face Hub, with its model card; safe to repeat.

        Args:
            repository: ``org/name``; created if it does not exist.
            private: Whether it is created as private.
            evaluation: Of :meth:`evaluate`, for the card; its samples are not uploaded.

        Returns:
            The commit's URL.

        Raises:
            ArtifactError: The artifact is damaged, or its chat template is not the trained one.
            InputError: The evaluation is of another artifact, or the repository's name is not valid.
            AuthError: There is no token, or it may not write there.
            RejectedError: The Hub refuses it.
            UnreachableError: The Hub does not answer.
            MissingExtra: The Hub's client is not installed.
        """
        publish: Callable[..., str] = load_plugin(STEPS, "publish", extra="hf")
        return publish(self.path, repository, private=private, evaluation=evaluation)

    def merge(self, target: Path | str) -> "Artifact":
        """Merge the adapter into its base, as :func:`ftsdk.merge` does."""
        return merge(self.path, target)

    def quantize(self, kind: str, target: Path | str) -> "Artifact":
        """Quantize the model, as :func:`ftsdk.quantize` does."""
        return quantize(self.path, kind, target)


def merge(folder: Path | str, target: Path | str) -> Artifact:
    """Merge an adapter into its base: a whole model, checked to compute the same as adapter and base.

    The adapter and its base are only read. A second call returns the output of the first.

    Args:
        folder: An artifact, or any folder with a LoRA adapter of PEFT's.
        target: The folder of the merged model.

    Raises:
        MissingExtra: The packages that merge are not installed.
        InputError: The folder holds no adapter.
        ArtifactError: Adapter or base are missing or damaged, or merged and unmerged disagree; the target is unchanged.
    """
    merged: Artifact = load_plugin(STEPS, "merge", extra="local")(Path(folder), Path(target))
    return merged


def quantize(model: Path | str, kind: str, target: Path | str) -> Artifact:
    """Quantize a whole model into a form that plain Transformers loads.

    The model is only read. A second call returns the output of the first.

    Args:
        model: An artifact, any folder with a model, or the id of a model on the Hub.
        kind: ``int8``, ``int8-dynamic``, ``int4``, ``int8-dynamic-int4-weight``, ``int4-packed`` or ``nf4``.
        target: The folder of the quantized model.

    Raises:
        MissingExtra: The packages that quantize are not installed.
        InputError: There is no such kind, or not on this machine; or the model is an adapter, or quantized already.
        ArtifactError: The model is damaged, or computes something else once it is quantized; the target is unchanged.
    """
    quantized: Artifact = load_plugin(STEPS, "quantize", extra="quantize")(model, kind, Path(target))
    return quantized


@functools.lru_cache(maxsize=1)
def _load(folder: Path, sealed: str) -> LoadedModel:  # noqa: ARG001 - a part of the key
    """Verify and load. The manifest's hash, ``sealed``, is part of the key: a folder may get another artifact."""
    verify(folder)
    load: Callable[[Path], LoadedModel] = load_plugin(STEPS, "load", extra="local")
    try:
        return load(folder)
    except ModuleNotFoundError as error:
        raise MissingExtra("local", error.name or str(error)) from error


def seal(folder: Path, manifest: Manifest) -> Artifact:
    """Record every file of a finished folder, and write the manifest last.

    Args:
        folder: The output of a job or a step.
        manifest: Of its origin; its ``files`` are filled in here.

    Raises:
        ArtifactError: The folder holds a file that an artifact must not hold, or lacks the weights.
    """
    sealed = write_sealed(folder, manifest)
    return Artifact(path=folder, kind=sealed.kind, base_model=sealed.base_model)
