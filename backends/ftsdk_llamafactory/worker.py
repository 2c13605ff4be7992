"""The process that does a LLaMA-Factory job on this machine: ``python -P -m ftsdk_llamafactory.worker FOLDER``."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from ftsdk.backend import Plan
from ftsdk.kit.environment import guest_environment
from ftsdk.kit.jobs import worker
from ftsdk.kit.jobs.diagnosis import read_result
from ftsdk.kit.jobs.engines import engine_python
from ftsdk.kit.jobs.folder import JobFolder
from ftsdk.kit.jobs.guest import run_guest
from ftsdk.kit.jobs.outcome import Stopped
from ftsdk.kit.jobs.product import seal_product
from ftsdk.kit.jobs.report import Reporter
from ftsdk.kit.jobs.stop import Stop
from ftsdk.kit.jobs.tools import lay_out, start
from ftsdk.kit.remote import localize
from ftsdk.kit.rows import check_unchanged, parted
from ftsdk.spec import Dataset
from ftsdk_llamafactory.installation import HOUSE
from ftsdk_llamafactory.progress import Progress
from ftsdk_llamafactory.translate import OUTPUT

_RUNNER = "ftsdk_llamafactory.runner"
_TOOLS = ("ftsdk.kit.desk", "ftsdk.kit.encoding", _RUNNER)


def run(folder: JobFolder, plan: Plan, reporter: Reporter, stop: Stop) -> None:
    """Train."""
    check_unchanged(plan)
    python = engine_python(HOUSE, plan, reporter)
    desk = write_request(folder.engine, plan, folder.cache)
    reporter.stage("training")
    progress = Progress(reporter, desk / OUTPUT)
    status = run_guest(
        start(python, _RUNNER),
        cwd=desk,
        env=guest_environment(python, (), plan.native["environment"]),
        stop=stop,
        hear=progress.hear,
        look=progress.look,
    )
    if stop.why:
        raise Stopped(stop.why)
    result = read_result(desk, HOUSE.package, status, progress.tail)
    if result["truncated"]:
        reporter.warning(f"{result['truncated']} of {result['rows']} rows were cut at training.max_length tokens")
    base = plan.native["config"]["model_name_or_path"]
    seal_product(folder, plan, desk / OUTPUT, base, result["versions"])


def write_request(desk: Path, plan: Plan, cache: Path) -> Path:
    """Lay out what the runner needs."""
    config, told = plan.native["config"], plan.native["rows"]
    desk.mkdir(exist_ok=True)
    lay_out(desk, _TOOLS)
    here: dict[str, Any] = {
        name: told[name] and localize(Dataset.model_validate(told[name]), cache).model_dump(mode="json")
        for name in ("dataset", "eval_dataset")
    }
    training, held_out = parted({**told, **here})
    for name, read in (("rows.jsonl", training), ("held.jsonl", held_out)):
        if read is not None:
            with (desk / name).open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row.value, ensure_ascii=False) + "\n" for row in read())
    template = told["dataset"]["chat_template"]
    request = {
        "model": config["model_name_or_path"],
        "model_revision": told["model_revision"],
        "trust_remote_code": config["trust_remote_code"],
        "chat_template": template and Path(template).read_text("utf-8"),
        "max_length": config["cutoff_len"],
        "method": told["method"],
        "train_on": told["train_on"],
        "adapter": config["finetuning_type"] == "lora",
        "output": OUTPUT,
        "config": config,
    }
    (desk / "request.json").write_text(json.dumps(request, indent=2), "utf-8")
    (desk / "job.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False), "utf-8")
    return desk


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], run))
