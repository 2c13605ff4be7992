"""The artifact itself: seal what was made, verify what was brought, try it."""

import functools
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from ftsdk.artifact.evaluation import Evaluation, EvaluationSettings
from ftsdk.artifact.manifest import MANIFEST, SAFE_NAME, FileRecord, Kind, Manifest, read_manifest
from ftsdk.artifact.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CONFIG
from ftsdk.artifact.safetensors import tensors_in
from ftsdk.artifact.template import check_template
from ftsdk.errors import ArtifactError, InputError, MissingExtra
from ftsdk.files import sha256, write_atomic
from ftsdk.plugins import load_step
from ftsdk.spec import Dataset
from ftsdk.spec.base import Section
from ftsdk.spec.validation_messages import problems_of

PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
"""Endings of files that run code when they are loaded; none is ever taken in."""

_CONFIG = {"adapter": ADAPTER_CONFIG, "model": CONFIG}
_WEIGHTS = {"adapter": ADAPTER_WEIGHTS, "model": "*.safetensors"}

Prompt = str | list[dict[str, Any]]


class Generator(Protocol):
    """A loaded model that answers; what the step ``load`` gives for a folder."""

    def generate(self, prompts: Sequence[Prompt], *, max_new_tokens: int, temperature: float, seed: int) -> list[str]:
        """One answer for each prompt."""


class Artifact(Section):
    """A folder with a PEFT adapter or a whole model, and the manifest that says where it comes from."""

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
            ArtifactError: It is damaged or unsafe, or no artifact at all.
        """
        manifest = verify(Path(folder))
        return cls(path=Path(folder), kind=manifest.kind, base_model=manifest.base_model)

    @property
    def manifest(self) -> Manifest:
        """Where it comes from, and what it holds; read anew each time."""
        return read_manifest(self.path)

    def verify(self) -> None:
        """See that every file is as it was sealed, and the chat template the one that it was trained with.

        Raises:
            ArtifactError: With the first file that is not.
        """
        check_template(self.path, verify(self.path))

    def generate(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int = 64, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """Try the artifact on this machine. The model that was loaded last is kept for the next call.

        Args:
            prompts: Texts to continue, or lists of chat messages (``role``, ``content``) to answer.
            max_new_tokens: Longest answer, in tokens.
            temperature: Of sampling; 0 takes the likeliest token each time.
            seed: Decides the sampling.

        Raises:
            MissingExtra: The packages that run a model are not installed.
            ArtifactError: The artifact is damaged or unsafe.
            InputError: ``prompts`` is a single text.
        """
        if isinstance(prompts, str):
            raise InputError("prompts is one text, not a list of them", hint="generate([text])")
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
            dataset: Rows for the loss. None: those that the job held out, where it did.
            limit: Only the first rows of each task and of the held-out rows, this many.
            samples: Held-out prompts that both models answer.
            more: Other fields of :class:`ftsdk.artifact.EvaluationSettings`.

        Raises:
            InputError: There is nothing to measure, or a setting or a task is wrong.
            DataError: The held-out rows are gone or have changed.
            ArtifactError: The artifact is damaged or unsafe, or its base cannot be loaded.
            MissingExtra: The packages that it takes are not installed.
            UnreachableError: A task's rows cannot be had.
        """
        if isinstance(tasks, str):
            raise InputError("tasks is one text, not a list of them", hint="evaluate(tasks=[name])")
        rows = str(dataset) if isinstance(dataset, Path) else dataset
        try:
            wanted = EvaluationSettings.model_validate(
                {"tasks": tuple(map(str, tasks)), "dataset": rows, "limit": limit, "samples": samples, **more}
            )
        except ValidationError as error:
            raise InputError("this cannot be evaluated", problems=problems_of(error)) from error
        verify(self.path)
        measure: Callable[[Path, EvaluationSettings], Evaluation] = load_step("evaluate")
        try:
            return measure(self.path.absolute(), wanted)
        except ModuleNotFoundError as error:
            raise MissingExtra("local", error.name or str(error)) from error

    def push_to_hub(self, repository: str, *, private: bool = True, evaluation: Evaluation | None = None) -> str:
        """Upload the artifact to the Hugging Face Hub, with its model card; safe to repeat.

        Args:
            repository: ``org/name``; made where it does not exist.
            private: Whether it is made private.
            evaluation: What :meth:`evaluate` found of it, for the card; its samples stay here.

        Returns:
            The commit's address.

        Raises:
            ArtifactError: The artifact is damaged, or its chat template is not the trained one.
            InputError: The evaluation is of another artifact, or the repository's name is none.
            AuthError: There is no token, or it may not write there.
            RejectedError: The Hub does not take it.
            UnreachableError: The Hub does not answer.
            MissingExtra: The Hub's client is not installed.
        """
        publish: Callable[..., str] = load_step("publish", "hf")
        return publish(self.path, repository, private=private, evaluation=evaluation)

    def merge(self, target: Path | str) -> "Artifact":
        """Merge the adapter into its base, as :func:`ftsdk.merge` does."""
        return merge(self.path, target)

    def quantize(self, kind: str, target: Path | str) -> "Artifact":
        """Hold the model in few bits, as :func:`ftsdk.quantize` does."""
        return quantize(self.path, kind, target)


def merge(folder: Path | str, target: Path | str) -> Artifact:
    """Merge an adapter into its base: a whole model, checked to compute what the two of them compute.

    The adapter and its base are only read. Called again, it gives what is there.

    Args:
        folder: An artifact, or any folder with a LoRA adapter of PEFT's.
        target: Where the model shall be.

    Raises:
        MissingExtra: The packages that merge are not installed.
        InputError: It is no adapter.
        ArtifactError: Adapter or base are missing or damaged, or merged and unmerged disagree; the target is as it was.
    """
    made: Artifact = load_step("merge")(Path(folder), Path(target))
    return made


def quantize(model: Path | str, kind: str, target: Path | str) -> Artifact:
    """Hold a whole model in few bits, in a form that plain Transformers loads.

    The model is only read. Called again, it gives what is there.

    Args:
        model: An artifact, any folder with a model, or the id of a model on the Hub.
        kind: ``int8``, ``int8-dynamic``, ``int4``, ``int8-dynamic-int4-weight``, ``int4-packed`` or ``nf4``.
        target: Where the quantized model shall be.

    Raises:
        MissingExtra: The packages that quantize are not installed.
        InputError: There is no such kind, or not on this machine; or the model is an adapter, or quantized already.
        ArtifactError: The model is damaged, or does not survive; the target is as it was.
    """
    made: Artifact = load_step("quantize", extra="quantize")(model, kind, Path(target))
    return made


@functools.lru_cache(maxsize=1)
def _load(folder: Path, sealed: str) -> Generator:  # noqa: ARG001 - a part of the key
    """Verify and load; ``sealed`` is the manifest's hash, so that a new artifact in the same place is loaded anew."""
    verify(folder)
    load: Callable[[Path], Generator] = load_step("load")
    try:
        return load(folder)
    except ModuleNotFoundError as error:
        raise MissingExtra("local", error.name or str(error)) from error


def seal(folder: Path, manifest: Manifest) -> Artifact:
    """Record every file of a finished folder and write the manifest, last of all.

    Args:
        folder: What a job has made.
        manifest: Where it comes from; its ``files`` are filled in here.

    Raises:
        ArtifactError: The folder holds something that an artifact must not hold, or lacks the weights.
    """
    present = {name: path for name, path in _walk(folder) if name != MANIFEST}
    if odd := [name for name in present if not re.fullmatch(SAFE_NAME, name)]:
        raise _damaged(folder, odd[0], "has a name that an artifact must not hold")
    files = {name: FileRecord(size=path.stat().st_size, sha256=sha256(path)) for name, path in present.items()}
    sealed = manifest.model_copy(update={"files": files})
    _check_layout(folder, sealed)
    write_atomic(folder / MANIFEST, sealed.model_dump_json(indent=2) + "\n")
    shutil.copymode(folder / _CONFIG[sealed.kind], folder / MANIFEST)  # whoever may read the weights may read this
    return Artifact(path=folder, kind=sealed.kind, base_model=sealed.base_model)


def verify(folder: Path) -> Manifest:
    """See that a folder holds what its manifest says, and nothing that runs code when it is loaded.

    Files that were added later and are harmless are left alone.

    Raises:
        ArtifactError: With the first file that is wrong.
    """
    manifest = read_manifest(folder)
    present = dict(_walk(folder))
    for name, record in manifest.files.items():
        if name not in present:
            raise _damaged(folder, name, "is missing")
        if present[name].stat().st_size != record.size or sha256(present[name]) != record.sha256:
            raise _damaged(folder, name, "has changed since it was sealed")
    _check_layout(folder, manifest)
    return manifest


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder by its name in it; refuses links and pickles."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise _damaged(folder, name, "is a link or no plain file")
        if path.suffix.lower() in PICKLES:
            raise _damaged(folder, name, "may run code when it is loaded; weights belong in safetensors")
        if path.is_file():
            yield name, path


def _check_layout(folder: Path, manifest: Manifest) -> None:
    """See that what makes it an adapter or a model is there, and that the weights are sound."""
    for wanted in (_CONFIG[manifest.kind], _WEIGHTS[manifest.kind]):
        if not any(fnmatchcase(name, wanted) for name in manifest.files):
            raise _damaged(folder, wanted, f"is missing, so this is no {manifest.kind}")
    for name in manifest.files:
        if name.endswith(".safetensors"):
            tensors_in(folder / name)


def _damaged(folder: Path, name: str, why: str) -> ArtifactError:
    return ArtifactError(f"{folder}: {name!r} {why}", hint="fetch the job again, into an empty folder")
