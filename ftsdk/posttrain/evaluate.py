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
from ftsdk.data.row_labels import encode_prompt, prompt_and_answer
from ftsdk.errors import InputError
from ftsdk.modeling.loading import pick_device, pick_dtype, versions
from ftsdk.posttrain import tasks
from ftsdk.posttrain.base_and_tuned import base_settings, dtype_name, measure_both
from ftsdk.posttrain.held_out_rows import EvaluationRows, prompts_of, rows_of, spec_of
from ftsdk.posttrain.loading import quiet_libraries
from ftsdk.posttrain.metrics import METRICS, Units
from ftsdk.spec import JobSpec
from ftsdk.translation.model_source import is_reward_model


class EvaluationInputs(NamedTuple):
    """What both models are measured with; every error in it is raised before the first model is loaded."""

    spec: JobSpec
    tokenizer: Any
    dtype: torch.dtype
    rows: EvaluationRows | None
    units: Units
    sample_rows: Sequence[Row]
    """Rows whose prompts are answered."""
    loaded_tasks: tasks.LoadedTasks | None


class ModelResults(NamedTuple):
    """The results of one of the two models."""

    answers: list[str]
    task_results: Any
    measurement: Any
    """Over the held-out rows."""


def evaluate(folder: Path, options: EvaluationSettings) -> Evaluation:
    """Measure base and artifact by the same code, in the same precision.

    Args:
        folder: A verified artifact.
        options: What to measure.

    Raises:
        InputError: There is nothing to measure, or what is asked for does not go with the artifact.
        DataError: The held-out rows are missing or have changed.
        ArtifactError: A model cannot be loaded.
        MissingExtra: Tasks are asked for, and the harness is not installed.
        UnreachableError: A task's rows cannot be downloaded.
    """
    manifest = read_manifest(folder)
    inputs = _prepare(folder, manifest, options)
    with quiet_libraries():
        base, artifact = measure_both(folder, manifest, lambda model: _measure(model, inputs, options))
    base_model = base_settings(folder, manifest)
    return Evaluation(
        base_model=manifest.base_model,
        base_model_revision=manifest.base_model_revision,
        job=manifest.job,
        weights=manifest.weights(),
        method=manifest.method,
        settings=options,
        held_out=_held_out(inputs, base, artifact),
        tasks=() if inputs.loaded_tasks is None else tasks.compare_results(base.task_results, artifact.task_results),
        samples=tuple(
            Sample(prompt=_prompt(row), expected=_expected(row), base=base_answer, artifact=answer)
            for row, base_answer, answer in zip(inputs.sample_rows, base.answers, artifact.answers, strict=True)
        ),
        dtype=dtype_name(inputs.dtype),
        quantization=_quantization(base_model.quantization),
        versions=versions() | ({} if inputs.loaded_tasks is None else {"lm-eval": metadata.version("lm-eval")}),
    )


def _prepare(folder: Path, manifest: Manifest, options: EvaluationSettings) -> EvaluationInputs:
    scores = is_reward_model(folder)
    if scores and options.tasks:
        raise InputError("tasks: a reward model scores answers and writes none", hint="leave tasks out")
    spec = spec_of(manifest)
    rows = rows_of(manifest, spec, options)
    if rows is None and not options.tasks:
        raise InputError(
            "there is nothing to evaluate: " + ("the job held out no rows" if options.held_out else "no task is named"),
            hint="give tasks=[...] or dataset=..., on the command line --tasks or --dataset",
        )
    base_model = base_settings(folder, manifest)
    loaded_tasks = tasks.load_tasks(options)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None and rows is not None and any(map(_is_chat, rows.rows)):
        # ftsdk's own trainings always save a template; other backends also train models that have none.
        raise InputError(
            f"the rows are chats, and the tokenizer in {folder} has no chat template",
            hint="give rows of prompts and completions with dataset=, on the command line --dataset FILE",
        )
    return EvaluationInputs(
        spec=spec,
        tokenizer=tokenizer,
        dtype=pick_dtype(base_model.dtype, pick_device()),
        rows=rows,
        units=() if rows is None else METRICS[rows.method].encode(rows.rows, tokenizer, spec),
        sample_rows=() if rows is None or scores else tuple(prompts_of(rows.rows, options.samples)),
        loaded_tasks=loaded_tasks,
    )


def _is_chat(row: Row) -> bool:
    return any(isinstance(row.value.get(key), list) for key in ("messages", "prompt", "chosen"))


def _measure(model: Any, inputs: EvaluationInputs, options: EvaluationSettings) -> ModelResults:
    rows, loaded_tasks = inputs.rows, inputs.loaded_tasks
    return ModelResults(
        answers=[_answer(model, inputs.tokenizer, row, options.max_new_tokens) for row in inputs.sample_rows],
        task_results=None if loaded_tasks is None else tasks.run_tasks(loaded_tasks, model, inputs.tokenizer, options),
        measurement=None
        if rows is None
        else METRICS[rows.method].measure(model, inputs.units, inputs.spec, inputs.dtype),
    )


@torch.inference_mode()
def _answer(model: Any, tokenizer: Any, row: Row, max_new_tokens: int) -> str:
    prompt, _ = prompt_and_answer(row.value)
    ids = torch.tensor([encode_prompt(prompt, tokenizer, row.value.get("tools"))], device=model.device)
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        use_cache=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    return str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)).strip()


def _held_out(inputs: EvaluationInputs, base: ModelResults, artifact: ModelResults) -> HeldOut | None:
    rows = inputs.rows
    if rows is None:
        return None
    return HeldOut(
        origin=rows.origin,
        files=rows.files,
        rows=len(rows.rows),
        tokens=sum(row.labelled for unit in inputs.units for row in unit.rows),
        metrics=METRICS[rows.method].compare(base.measurement, artifact.measurement, inputs.spec),
    )


def _prompt(row: Row) -> Any:
    return prompt_and_answer(row.value)[0]


def _expected(row: Row) -> str:
    """A row's own answer as text; of two, the preferred one."""
    answer = row.value["chosen"] if "chosen" in row.value else prompt_and_answer(row.value)[1]
    if isinstance(answer, list):
        return "\n".join(str(message.get("content") or "") for message in answer)
    return answer or ""


def _quantization(options: dict[str, Any] | None) -> str:
    if not options:
        return ""
    return str(options.get("bnb_4bit_quant_type") or "4 bits") if options.get("load_in_4bit") else "int8"
