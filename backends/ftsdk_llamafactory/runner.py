"""Run one LLaMA-Factory job in its own Python, where only the modules of ftsdk that are copied beside it exist.

It reads ``job.yaml`` (LLaMA-Factory's configuration), ``request.json`` (our request), ``rows.jsonl`` and ``held.jsonl``
(canonical rows). It writes ``tokens/`` (rows as tokens and labels, by the same code as for every engine),
LLaMA-Factory's own output, and ``result.json``, which reports what was made.
"""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ftsdk.engines import output, runner_support, tokens
from ftsdk.engines.runner_support import Request, Result, RunnerError
from ftsdk.engines.tokens import EncodedRow, text_columns
from ftsdk_llamafactory.scores import from_classifier, to_classifier

_PACKAGES = ("llamafactory", "transformers", "trl", "peft", "torch")
_TRAIN = (
    "from llamafactory.train.tuner import run_exp; from ftsdk.engines.recorder import Recorder;"
    " run_exp(callbacks=[Recorder()])"
)
_RESOLVE = (
    "import json, sys, yaml; from llamafactory.hparams import get_train_args;"
    " parts = get_train_args(yaml.safe_load(open('job.yaml')));"
    " resolved = {name: value for part in parts for name, value in vars(part).items()};"
    " json.dump(resolved, open('resolved.json', 'w'), default=str)"
)
_STAND_INS = "stand-ins"
"""The folder of empty modules that LLaMA-Factory imports and does not use: no build of torchaudio fits."""
_NOT_RESUMABLE = ("reward_modeling", "ppo")
"""Methods that LLaMA-Factory cannot resume from a checkpoint, see methods.py: a resumed job starts again."""
_PREFIXES = {"text": "", "other": "kl_"}
"""From a text of a row to the prefix of LLaMA-Factory's columns for it, where it is not its name."""
_NOT_COMPARED = frozenset({"report_to"})
"""Settings that are read back as another value: ``none`` becomes an empty list."""


def main(folder: str) -> int:
    """Run the job; returns 0 only if there are good weights."""
    return runner_support.run_request(folder, _run_job)


def _run_job(request: Request, result: Result) -> None:
    runner_support.download_model(request["model"], request["model_revision"])
    check_model_version(Path(request["model"]))
    tokenizer = tokens.load_tokenizer(request)
    result |= tokens.write_tokens(request, tokenizer, columns)
    check_settings(request["config"])
    prepare(request, result["rows"], tokenizer)
    train()
    if request["method"] == "reward_modeling":
        to_classifier(Path(request["output"]))
    output.finish(request, tokenizer)
    result["versions"] = runner_support.versions(_PACKAGES)


def check_model_version(folder: Path) -> None:
    """Check that this Transformers, which is older for PPO, reads the model correctly.

    Raises:
        RunnerError: It would misread it in silence.
    """
    from transformers import __version__

    config = json.loads((folder / "config.json").read_text("utf-8"))
    if __version__.startswith("4.") and (problem := runner_support.version_mismatch(config, __version__)):
        raise RunnerError("engine_error", problem)


def prepare(request: Request, rows: int, tokenizer: Any) -> None:
    """Prepare the output folder to resume or start again; for PPO, convert the reward model to LLaMA-Factory's form.

    Raises:
        RunnerError: PPO has fewer prompts than one step takes, and would train on none.
    """
    folder, config = Path(request["output"]), request["config"]
    if request["method"] not in _NOT_RESUMABLE:
        output.drop_torn_checkpoints(folder)
        return
    shutil.rmtree(folder, ignore_errors=True)
    if request["method"] == "ppo":
        sizes = ("per_device_train_batch_size", "gradient_accumulation_steps", "ppo_buffer_size")
        step = math.prod(config[name] for name in sizes)
        if rows < step:
            problem = f"a step of PPO takes {step} prompts, and there are {rows}"
            raise RunnerError("data_error", f"{problem}; lower training.global_batch_size, or add rows")
        reward = request["reward"]
        from_classifier(reward["name"], reward["revision"], Path(config["reward_model"]), tokenizer)


def columns(encoded: EncodedRow) -> Result:
    """A row as LLaMA-Factory reads it: each text under its name, and no images, videos or sounds."""
    tags = {"kto_tags": encoded.row["label"]} if "label" in encoded.row else {}
    return {"images": None, "videos": None, "audios": None, **tags, **text_columns(encoded, _PREFIXES)}


def check_settings(config: dict[str, Any]) -> None:
    """Let LLaMA-Factory resolve its configuration, and compare it with the requested one."""
    # It refuses unknown keys, but changes values that exclude each other with no more than a log line.
    process = subprocess.run(
        [sys.executable, "-P", "-c", _RESOLVE],
        env=runner_support.offline_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunnerError("engine_error", f"LLaMA-Factory refuses its configuration: {last}")
    resolved = json.loads(Path("resolved.json").read_text("utf-8"))
    differing = [
        f"{name}={resolved.get(name)!r} instead of {value!r}"
        for name, value in config.items()
        if name not in _NOT_COMPARED
        and name in resolved
        and not runner_support.values_match(_joined(resolved[name]), value)
    ]
    missing = [name for name in config if name not in resolved]
    if differing or missing:
        raise RunnerError(
            "engine_error", f"LLaMA-Factory would train with other settings: {', '.join([*differing, *missing])}"
        )


def _joined(value: Any) -> Any:
    """LLaMA-Factory splits words at commas."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def train() -> None:
    """Run LLaMA-Factory to its end."""
    Path(_STAND_INS).mkdir(exist_ok=True)
    Path(_STAND_INS, "torchaudio.py").write_text('"""Imported for sound, of which there is none here."""\n', "utf-8")
    path = f"{_STAND_INS}{os.pathsep}tools"
    runner_support.run(
        [sys.executable, "-P", "-u", "-c", _TRAIN, "job.yaml"],
        runner_support.offline_environment() | {"PYTHONPATH": path},
    )


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main(sys.argv[1]))
