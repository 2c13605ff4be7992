"""Do one AutoTrain job in AutoTrain's own Python, which finds ftsdk's few tools beside it and nothing else.

The same file runs on this machine and in a container. AutoTrain itself ends with 0 whatever has happened: what this
script says of success rests on what was made. In the folder it finds

- ``job.yaml``: AutoTrain's configuration;
- ``request.json``: what is more to know;
- ``rows.jsonl``: the rows, in ftsdk's canonical form;

and it leaves ``data/train.jsonl`` (rendered rows), AutoTrain's own output in the project's folder, and ``result.json``.
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
"""AutoTrain's."""
FAILED = "train has failed due to an exception"
UNUSED = "Parameters supplied but not used"

_PACKAGES = ("autotrain-advanced", "transformers", "trl", "peft", "torch")
_EMBEDDINGS = ("embed_tokens.weight", "lm_head.weight", "wte.weight", "embed_in.weight", "embed_out.weight")

Row = dict[str, Any]


def main(folder: str) -> int:
    """Do the job; 0 only if there are good weights."""
    return run_request(folder, _work)


def _work(request: Request, result: Result) -> None:
    download_model(request["model"], request["model_revision"])
    tokenizer = load_tokenizer(request)
    result["left_out"] = write_rows(request, tokenizer)
    run_autotrain()
    finish(request, tokenizer, result)
    result["versions"] = versions(_PACKAGES)


# 1. Rows, rendered by the model's own template.


def load_tokenizer(request: Row) -> Any:
    """The model's tokenizer, with the template that the spec names."""
    from transformers import AutoTokenizer
    from transformers.utils import cached_file

    def path_of(name: str) -> Path | None:
        found = cached_file(request["model"], name, _raise_exceptions_for_missing_entries=False)
        return Path(found) if found else None

    try:
        config = path_of("config.json")
        if config and (trouble := version_mismatch(json.loads(config.read_text("utf-8")), TRANSFORMERS)):
            raise RunnerError("engine_error", trouble)
        tokenizer = AutoTokenizer.from_pretrained(request["model"], trust_remote_code=request["trust_remote_code"])
    except (OSError, ValueError, KeyError) as error:
        kind = "gated_model" if "gated" in str(error).lower() else "engine_error"
        raise RunnerError(kind, f"the tokenizer of {request['model']} cannot be loaded: {error}") from error
    template = path_of("chat_template.jinja")  # AutoTrain's Transformers does not look for it
    if request["chat_template"]:
        tokenizer.chat_template = request["chat_template"]
    elif template:
        tokenizer.chat_template = template.read_text("utf-8")
    if tokenizer.model_max_length < request["max_length"]:
        limit = f"the model's tokenizer stops at {tokenizer.model_max_length} tokens"
        raise RunnerError("data_error", f"{limit}, and training.max_length is {request['max_length']}")
    return tokenizer


def write_rows(request: Row, tokenizer: Any) -> int:
    """Write ``data/train.jsonl``; give the number of pairs that are too long, which AutoTrain leaves out."""
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
    """One text. AutoTrain writes the token that ends it, and the tokenizer the one that begins it."""
    if "text" in row:
        return {"text": row["text"]}
    if "messages" in row:
        whole = apply_template(row["messages"], row, tokenizer, number)
    elif isinstance(row["prompt"], str):
        whole = row["prompt"] + row["completion"]
    else:
        whole = apply_template([*row["prompt"], *row["completion"]], row, tokenizer, number)
    return {"text": without_end(without_begin(whole, tokenizer), tokenizer)}


def pair_row(row: Row, tokenizer: Any, number: int) -> Row:
    """A prompt and two answers. AutoTrain writes the token that ends an answer."""
    prompt, chosen, rejected = parts(row, tokenizer, number)
    return {"prompt": prompt, "chosen": without_end(chosen, tokenizer), "rejected": without_end(rejected, tokenizer)}


def whole_pair_row(row: Row, tokenizer: Any, number: int) -> Row:
    """Two whole conversations, each with the token that ends it, where the score is read."""
    prompt, *answers = parts(row, tokenizer, number)
    texts = [without_begin(prompt + without_end(each, tokenizer), tokenizer) + tokenizer.eos_token for each in answers]
    return dict(zip(("chosen", "rejected"), texts, strict=True))


def parts(row: Row, tokenizer: Any, number: int) -> tuple[str, str, str]:
    """The prompt and both answers as texts; a conversation ends its prompt where the answer begins."""
    if isinstance(row["prompt"], str):
        return row["prompt"], row["chosen"], row["rejected"]
    prompt = apply_template(row["prompt"], row, tokenizer, number, prompt=True)
    answers = []
    for name in ("chosen", "rejected"):
        whole = apply_template([*row["prompt"], *row[name]], row, tokenizer, number)
        if not whole.startswith(prompt):
            raise RunnerError("data_error", f"row {number}: the chat template hides where the answer begins")
        answers.append(whole[len(prompt) :])
    return prompt, answers[0], answers[1]


RENDERERS: dict[str, Callable[[Row, Any, int], Row]] = {
    "sft": text_row,
    "dpo": pair_row,
    "orpo": pair_row,
    "reward_modeling": whole_pair_row,
}


def apply_template(messages: Sequence[Row], row: Row, tokenizer: Any, number: int, *, prompt: bool = False) -> str:
    """A conversation as text."""
    from jinja2 import TemplateError

    if tokenizer.chat_template is None:
        what = "the model has no chat template, and the rows are conversations"
        raise RunnerError("data_error", f"{what}: set dataset.chat_template")
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tools=row.get("tools"), tokenize=False, add_generation_prompt=prompt
        )
    except TemplateError as error:
        raise RunnerError("data_error", f"row {number}: the model's chat template refuses it: {error}") from error
    return text


def without_begin(text: str, tokenizer: Any) -> str:
    """The tokenizer will write the token that begins a text, where it does so at all."""
    begin = tokenizer.bos_token
    writes = begin and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text[len(begin) :] if writes and text.startswith(begin) else text


def without_end(text: str, tokenizer: Any) -> str:
    """AutoTrain will write the token that ends a text; blanks behind one are never said."""
    end = tokenizer.eos_token
    bare = text.rstrip()
    return bare[: -len(end)] if end and bare.endswith(end) else text


# 2. AutoTrain.


def run_autotrain() -> None:
    """Run it to its end, pass on what it prints, and hear what it says of failure."""
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
            if UNUSED in line:
                error = error or line.strip()
            elif failed and ("Error" in line or "error" in line or "Exception" in line) and line[:1].strip():
                error = line.strip()
    if failed or process.returncode:
        raise RunnerError("", error.partition(" - ")[2] or error)
    if error:
        raise RunnerError("engine_error", error.partition(" - ")[2] or error)


# 3. What it made.


def finish(request: Row, tokenizer: Any, result: Row) -> None:
    """See that AutoTrain did what it was told and made weights; mend what it does to them.

    Raises:
        Failure: It has not, or they cannot be mended.
    """
    project = Path(request["project"])
    adapter, model = project / "adapter_model.safetensors", project / "model.safetensors"
    parts_of_model = list(project.glob("model-*.safetensors"))
    wanted = [adapter] if request["adapter"] else [model, *parts_of_model]
    if not any(path.is_file() for path in wanted):
        raise RunnerError("", "")
    told = json.loads((project / "training_params.json").read_text("utf-8"))
    other = [name for name, value in request["params"].items() if not values_match(told.get(name), value)]
    if other:
        raise RunnerError(
            "engine_error", f"AutoTrain has trained with other values than it was given: {', '.join(other)}"
        )
    if request["adapter"]:
        result["repaired"] = repair(adapter, request["model"])
    saved = json.loads((project / "tokenizer_config.json").read_text("utf-8"))
    if tokenizer.chat_template and saved.get("chat_template") != tokenizer.chat_template:
        saved["chat_template"] = tokenizer.chat_template
        (project / "tokenizer_config.json").write_text(json.dumps(saved, indent=2, ensure_ascii=False), "utf-8")


def repair(path: Path, base: str) -> list[str]:
    """Take out the embeddings that AutoTrain saves with an adapter when the base has more rows than the tokenizer.

    AutoTrain cuts the base's embeddings to the tokenizer's length, and PEFT then saves them with the adapter, which
    loads on no base. They were not trained: where they equal the base's first rows, nothing is lost without them.

    Raises:
        Failure: They are not the base's, so the adapter is of no use without them.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.endswith(_EMBEDDINGS)]  # noqa: SIM118 - it is no mapping
        metadata = file.metadata()
    if not names:
        return []
    theirs = base_embeddings(base)
    tensors = load_file(path)
    for name in names:
        rows = tensors[name]
        if not any(each.shape[0] >= rows.shape[0] and (each[: rows.shape[0]] == rows).all() for each in theirs):
            raise RunnerError("engine_error", f"the adapter holds changed embeddings ({name}), and loads on no base")
    save_file({name: tensor for name, tensor in tensors.items() if name not in names}, path, metadata)
    return names


def base_embeddings(base: str) -> list[Any]:
    """The base's input and output embeddings, as they are before AutoTrain cuts them."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, low_cpu_mem_usage=True)
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return [layer.weight.detach() for layer in layers if layer is not None]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
