"""Run one AutoTrain job in AutoTrain's own Python, which has a few modules of ftsdk beside it and nothing else of it.

The same file runs on this machine and in a container. AutoTrain itself exits with 0 also after a failure, so this
script decides over success by the files that AutoTrain wrote. It reads from its folder

- ``job.yaml``: AutoTrain's configuration;
- ``request.json``: settings that AutoTrain does not have;
- ``rows.jsonl``: the rows, in ftsdk's canonical form;

and writes ``data/train.jsonl`` (rendered rows), AutoTrain's own output in the project's folder, and ``result.json``.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ftsdk.engines.runner_support import (
    Request,
    Result,
    RunnerError,
    download_model,
    offline_environment,
    run_request,
    values_match,
    version_mismatch,
    versions,
)

TRANSFORMERS = "4.48"
"""The version of Transformers that AutoTrain pins."""
FAILED = "train has failed due to an exception"
UNUSED = "Parameters supplied but not used"

_PACKAGES = ("autotrain-advanced", "transformers", "trl", "peft", "torch")
_EMBEDDINGS = ("embed_tokens.weight", "lm_head.weight", "wte.weight", "embed_in.weight", "embed_out.weight")

Row = dict[str, Any]


def main(folder: str) -> int:
    """Run the job; 0 only if AutoTrain saved valid weights."""
    return run_request(folder, _run_job)


def _run_job(request: Request, result: Result) -> None:
    download_model(request["model"], request["model_revision"])
    tokenizer = load_tokenizer(request)
    result["left_out"] = write_rows(request, tokenizer)
    run_autotrain()
    finish(request, tokenizer, result)
    result["versions"] = versions(_PACKAGES)


# 1. Rows, rendered by the model's own template.


def load_tokenizer(request: Row) -> Any:
    """The model's tokenizer, with the chat template of the spec."""
    from transformers import AutoTokenizer
    from transformers.utils import cached_file

    def path_of(name: str) -> Path | None:
        path = cached_file(request["model"], name, _raise_exceptions_for_missing_entries=False)
        return Path(path) if path else None

    try:
        config = path_of("config.json")
        if config and (mismatch := version_mismatch(json.loads(config.read_text("utf-8")), TRANSFORMERS)):
            raise RunnerError("engine_error", mismatch)
        tokenizer = AutoTokenizer.from_pretrained(request["model"], trust_remote_code=request["trust_remote_code"])
    except (OSError, ValueError, KeyError) as error:
        kind = "gated_model" if "gated" in str(error).lower() else "engine_error"
        raise RunnerError(kind, f"the tokenizer of {request['model']} cannot be loaded: {error}") from error
    template = path_of("chat_template.jinja")  # AutoTrain's Transformers does not read this file
    if request["chat_template"]:
        tokenizer.chat_template = request["chat_template"]
    elif template:
        tokenizer.chat_template = template.read_text("utf-8")
    # AutoTrain cuts max_length to this limit without a warning.
    if tokenizer.model_max_length < request["max_length"]:
        limit = f"the model's tokenizer stops at {tokenizer.model_max_length} tokens"
        raise RunnerError("data_error", f"{limit}, and training.max_length is {request['max_length']}")
    return tokenizer


def write_rows(request: Row, tokenizer: Any) -> int:
    """Write ``data/train.jsonl``.

    Returns:
        The number of pairs that are too long, which AutoTrain leaves out.
    """
    render = RENDERERS[request["method"]]
    too_long = 0
    Path("data").mkdir(exist_ok=True)
    target = Path("data/train.jsonl")
    with Path("rows.jsonl").open(encoding="utf-8") as rows, target.open("w", encoding="utf-8") as rendered:
        for number, line in enumerate(rows, 1):
            row = render(json.loads(line), tokenizer, number)
            if request["method"] == "reward_modeling":
                texts = (row["chosen"], row["rejected"])
                too_long += any(len(tokenizer(text)["input_ids"]) > request["max_length"] for text in texts)
            rendered.write(json.dumps(row, ensure_ascii=False) + "\n")
    return too_long


def text_row(row: Row, tokenizer: Any, number: int) -> Row:
    """One text, without the tokens at both ends: the tokenizer adds the one, and AutoTrain the other."""
    if "text" in row:
        return {"text": row["text"]}
    if "messages" in row:
        text = apply_template(row["messages"], row, tokenizer, number)
    elif isinstance(row["prompt"], str):
        text = row["prompt"] + row["completion"]
    else:
        text = apply_template([*row["prompt"], *row["completion"]], row, tokenizer, number)
    return {"text": strip_eos(strip_bos(text, tokenizer), tokenizer)}


def pair_row(row: Row, tokenizer: Any, number: int) -> Row:
    """A prompt and two answers, without the token at their ends, which AutoTrain adds."""
    prompt, chosen, rejected = split_pair(row, tokenizer, number)
    return {"prompt": prompt, "chosen": strip_eos(chosen, tokenizer), "rejected": strip_eos(rejected, tokenizer)}


def conversation_pair_row(row: Row, tokenizer: Any, number: int) -> Row:
    """Two complete conversations, each with the token at its end, where the score is read."""
    prompt, *answers = split_pair(row, tokenizer, number)
    texts = [strip_bos(prompt + strip_eos(answer, tokenizer), tokenizer) + tokenizer.eos_token for answer in answers]
    return dict(zip(("chosen", "rejected"), texts, strict=True))


def split_pair(row: Row, tokenizer: Any, number: int) -> tuple[str, str, str]:
    """The prompt and both answers as texts; the prompt of a conversation ends where the answer begins."""
    if isinstance(row["prompt"], str):
        return row["prompt"], row["chosen"], row["rejected"]
    # AutoTrain would render prompt and answers one by one, each with a default system message and without the header
    # of the answer. The complete conversation is rendered instead, and cut behind the prompt.
    prompt = apply_template(row["prompt"], row, tokenizer, number, prompt=True)
    answers = []
    for name in ("chosen", "rejected"):
        conversation = apply_template([*row["prompt"], *row[name]], row, tokenizer, number)
        if not conversation.startswith(prompt):
            raise RunnerError("data_error", f"row {number}: the chat template does not show where the answer begins")
        answers.append(conversation[len(prompt) :])
    return prompt, answers[0], answers[1]


RENDERERS: dict[str, Callable[[Row, Any, int], Row]] = {
    "sft": text_row,
    "dpo": pair_row,
    "orpo": pair_row,
    "reward_modeling": conversation_pair_row,
}


def apply_template(messages: Sequence[Row], row: Row, tokenizer: Any, number: int, *, prompt: bool = False) -> str:
    """A conversation as text."""
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        problem = "the model has no chat template, and the rows are conversations"
        raise RunnerError("data_error", f"{problem}: set dataset.chat_template")
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tools=row.get("tools"), tokenize=False, add_generation_prompt=prompt
        )
    except TemplateError as error:
        raise RunnerError("data_error", f"row {number}: the model's chat template rejects it: {error}") from error
    return text


def strip_bos(text: str, tokenizer: Any) -> str:
    """The text without the token that the tokenizer adds at its beginning, where it adds one."""
    begin = tokenizer.bos_token
    adds_it = begin and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text[len(begin) :] if adds_it and text.startswith(begin) else text


def strip_eos(text: str, tokenizer: Any) -> str:
    """The text without the token that AutoTrain adds at its end, and without blanks behind it."""
    end = tokenizer.eos_token
    bare = text.rstrip()
    return bare[: -len(end)] if end and bare.endswith(end) else text


# 2. AutoTrain.


def run_autotrain() -> None:
    """Run AutoTrain to its end, print its output, and find failures in it.

    Raises:
        RunnerError: It failed; the message is the line that says why.
    """
    # Not the script `autotrain`: it may not be on the PATH of an environment that was not activated.
    command = [sys.executable, "-P", "-c", "from autotrain.cli.autotrain import main; main()", "--config", "job.yaml"]
    error, failed = "", False
    with subprocess.Popen(
        command,
        env=offline_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            failed = failed or FAILED in line
            if UNUSED in line:  # a warning only, and the training continues with a default in its place
                error = error or line.strip()
            elif failed and ("Error" in line or "error" in line or "Exception" in line) and line[:1].strip():
                error = line.strip()
    # AutoTrain catches every exception of the training, logs it, and exits with 0.
    if failed or process.returncode:
        raise RunnerError("", error.partition(" - ")[2] or error)
    if error:
        raise RunnerError("engine_error", error.partition(" - ")[2] or error)


# 3. The output.


def finish(request: Row, tokenizer: Any, result: Row) -> None:
    """Check that AutoTrain used its settings and saved weights, and repair the weights.

    Raises:
        RunnerError: It did not, or they cannot be repaired.
    """
    project = Path(request["project"])
    adapter, model = project / "adapter_model.safetensors", project / "model.safetensors"
    shards = list(project.glob("model-*.safetensors"))
    weights = [adapter] if request["adapter"] else [model, *shards]
    if not any(path.is_file() for path in weights):
        raise RunnerError("", "")
    params = json.loads((project / "training_params.json").read_text("utf-8"))
    deviations = [name for name, value in request["params"].items() if not values_match(params.get(name), value)]
    if deviations:
        raise RunnerError(
            "engine_error", f"AutoTrain trained with other values than those of the plan: {', '.join(deviations)}"
        )
    if request["adapter"]:
        result["repaired"] = repair(adapter, request["model"])
    # The rows were rendered by this template, of which AutoTrain knows nothing.
    config = json.loads((project / "tokenizer_config.json").read_text("utf-8"))
    if tokenizer.chat_template and config.get("chat_template") != tokenizer.chat_template:
        config["chat_template"] = tokenizer.chat_template
        (project / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")


def repair(path: Path, base: str) -> list[str]:
    """Remove the embeddings that AutoTrain saves with an adapter when the base has more rows than the tokenizer.

    AutoTrain cuts the base's embeddings to the tokenizer's length, and PEFT then saves them with the adapter, which
    then loads on no base. They were not trained: where they equal the base's first rows, nothing is lost without them.

    Returns:
        The names of the removed tensors.

    Raises:
        RunnerError: They differ from the base's, so the adapter is incomplete without them.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.endswith(_EMBEDDINGS)]  # noqa: SIM118 - it is no mapping
        metadata = file.metadata()
    if not names:
        return []
    originals = base_embeddings(base)
    tensors = load_file(path)
    for name in names:
        rows = tensors[name]
        if not any(table.shape[0] >= rows.shape[0] and (table[: rows.shape[0]] == rows).all() for table in originals):
            raise RunnerError("engine_error", f"the adapter contains changed embeddings ({name}), and loads on no base")
    save_file({name: tensor for name, tensor in tensors.items() if name not in names}, path, metadata)
    return names


def base_embeddings(base: str) -> list[Any]:
    """The base's input and output embeddings, with all of their rows."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, low_cpu_mem_usage=True)
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return [layer.weight.detach() for layer in layers if layer is not None]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
