"""Evaluate an artifact beside its base: held-out loss, tasks of lm-evaluation-harness, answers side by side."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoTokenizer

from ftsdk.artifact import Evaluation, EvaluationSettings, HeldOut, Manifest, Sample
from ftsdk.artifact.manifest import read_manifest
from ftsdk.data import Row
from ftsdk.data.encoding import encode_prompt, prompt_and_answer
from ftsdk.errors import InputError
from ftsdk.modeling.loading import pick_device, pick_dtype, versions
from ftsdk.posttrain import tasks
from ftsdk.posttrain.base_and_tuned import both, dtype_name, settings_of
from ftsdk.posttrain.held_out_rows import HeldRows, prompts_of, rows_of, spec_of
from ftsdk.posttrain.loading import quietly
from ftsdk.posttrain.metrics import MEASURES, Units
from ftsdk.spec import JobSpec
from ftsdk.translation.model_source import is_reward_model


class Work(NamedTuple):
    """All that is measured of each of the two models; made, and refused, before the first is loaded."""

    spec: JobSpec
    tokenizer: Any
    dtype: torch.dtype
    held: HeldRows | None
    units: Units
    asked: Sequence[Row]
    """Rows whose prompts are answered."""
    loaded: tasks.Loaded | None


class Side(NamedTuple):
    """What one model gave."""

    answers: list[str]
    results: Any
    seen: Any


def evaluate(folder: Path, wanted: EvaluationSettings) -> Evaluation:
    """Measure base and artifact by the same code, in the same precision.

    Args:
        folder: A verified artifact.
        wanted: What to measure.

    Raises:
        InputError: There is nothing to measure, or what is asked for does not go with the artifact.
        DataError: The held-out rows are gone or have changed.
        ArtifactError: A model cannot be loaded.
        MissingExtra: Tasks are asked for, and the harness is not installed.
        UnreachableError: A task's rows cannot be had.
    """
    manifest = read_manifest(folder)
    work = _prepared(folder, manifest, wanted)
    with quietly():
        base, artifact = both(folder, manifest, lambda model: _measured(model, work, wanted))
    settings = settings_of(folder, manifest)
    return Evaluation(
        base_model=manifest.base_model,
        base_model_revision=manifest.base_model_revision,
        job=manifest.job,
        weights=manifest.weights(),
        method=manifest.method,
        settings=wanted,
        held_out=_held_out(work, base, artifact),
        tasks=() if work.loaded is None else tasks.compared(base.results, artifact.results),
        samples=tuple(
            Sample(prompt=_prompt(row), expected=_expected(row), base=one, artifact=other)
            for row, one, other in zip(work.asked, base.answers, artifact.answers, strict=True)
        ),
        dtype=dtype_name(work.dtype),
        quantization=_quantization(settings.quantization),
        versions=versions() | ({} if work.loaded is None else {"lm-eval": metadata.version("lm-eval")}),
    )


def _prepared(folder: Path, manifest: Manifest, wanted: EvaluationSettings) -> Work:
    scores = is_reward_model(folder)
    if scores and wanted.tasks:
        raise InputError("tasks: a reward model scores answers and writes none", hint="leave tasks out")
    spec = spec_of(manifest)
    held = rows_of(manifest, spec, wanted)
    if held is None and not wanted.tasks:
        raise InputError(
            "there is nothing to evaluate: " + ("the job held out no rows" if wanted.held_out else "no task is named"),
            hint="give tasks=[...] or dataset=..., on the command line --tasks or --dataset",
        )
    settings = settings_of(folder, manifest)
    loaded = tasks.load(wanted)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Work(
        spec=spec,
        tokenizer=tokenizer,
        dtype=pick_dtype(settings.dtype, pick_device()),
        held=held,
        units=() if held is None else MEASURES[held.method].encode(held.rows, tokenizer, spec),
        asked=() if held is None or scores else tuple(prompts_of(held.rows, wanted.samples)),
        loaded=loaded,
    )


def _measured(model: Any, work: Work, wanted: EvaluationSettings) -> Side:
    return Side(
        answers=[_answer(model, work.tokenizer, row, wanted.max_new_tokens) for row in work.asked],
        results=None if work.loaded is None else tasks.run(work.loaded, model, work.tokenizer, wanted),
        seen=None if work.held is None else MEASURES[work.held.method].look(model, work.units, work.spec, work.dtype),
    )


@torch.inference_mode()
def _answer(model: Any, tokenizer: Any, row: Row, longest: int) -> str:
    prompt, _ = prompt_and_answer(row.value)
    ids = torch.tensor([encode_prompt(prompt, tokenizer, row.value.get("tools"))], device=model.device)
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=longest,
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    return str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)).strip()


def _held_out(work: Work, base: Side, artifact: Side) -> HeldOut | None:
    if work.held is None:
        return None
    return HeldOut(
        origin=work.held.origin,
        files=work.held.files,
        rows=len(work.held.rows),
        tokens=sum(row.labelled for unit in work.units for row in unit.rows),
        metrics=MEASURES[work.held.method].compare(base.seen, artifact.seen, work.spec),
    )


def _prompt(row: Row) -> Any:
    return prompt_and_answer(row.value)[0]


def _expected(row: Row) -> str:
    """A row's own answer as text; of two, the better one."""
    answer = row.value["chosen"] if "chosen" in row.value else prompt_and_answer(row.value)[1]
    if isinstance(answer, list):
        return "\n".join(str(message.get("content") or "") for message in answer)
    return answer or ""


def _quantization(options: dict[str, Any] | None) -> str:
    if not options:
        return ""
    return str(options.get("bnb_4bit_quant_type") or "4 bits") if options.get("load_in_4bit") else "int8"
