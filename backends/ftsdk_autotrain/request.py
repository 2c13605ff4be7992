"""What the runner finds in its folder: AutoTrain's configuration, the rows, and what is more to know."""

import json
from pathlib import Path
from typing import Any

import yaml

from ftsdk.backend import Plan
from ftsdk.data import rows
from ftsdk.data.download import download_dataset
from ftsdk.engines.bundle import copy_modules
from ftsdk.spec import Dataset

RUNNER = "ftsdk_autotrain.runner"
TOOLS = ("ftsdk.engines.runner_support", RUNNER)
"""What AutoTrain's Python needs of ours."""


def write_request(desk: Path, plan: Plan, cache: Path) -> Path:
    """Lay it out.

    Args:
        desk: The folder; made where it is missing.
        plan: What is to be done.
        cache: Where rows from elsewhere are brought to.

    Raises:
        DataError: The rows cannot be had, or are wrong.
    """
    config, told = plan.native["config"], plan.native["rows"]
    desk.mkdir(exist_ok=True)
    copy_modules(desk, TOOLS)
    dataset = download_dataset(Dataset.model_validate(told["dataset"]), cache)
    with (desk / "rows.jsonl").open("w", encoding="utf-8") as file:
        for row in rows(dataset, told["method"]):
            file.write(json.dumps(row.value, ensure_ascii=False) + "\n")
    template = dataset.chat_template
    request: dict[str, Any] = {
        "model": config["base_model"],
        "model_revision": told["model_revision"],
        "trust_remote_code": told["trust_remote_code"],
        "chat_template": template and Path(template).read_text("utf-8"),
        "max_length": told["max_length"],
        "method": told["method"],
        "project": config["project_name"],
        "adapter": config["params"]["peft"] and not config["params"]["merge_adapter"],
        "params": config["params"],
    }
    (desk / "request.json").write_text(json.dumps(request, indent=2), "utf-8")
    (desk / "job.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return desk
