"""The folder that AutoTrain's runner works in: AutoTrain's configuration, the rows, and further settings."""

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
MODULES = ("ftsdk.engines.runner_support", RUNNER)
"""Our modules that AutoTrain's Python imports."""


def write_request(folder: Path, plan: Plan, cache: Path) -> Path:
    """Write what the runner reads: AutoTrain's configuration, the rows, and the settings that AutoTrain does not have.

    Args:
        folder: The runner's folder; created where it does not exist.
        plan: The job's plan.
        cache: Where rows from elsewhere are downloaded to.

    Returns:
        The folder.

    Raises:
        DataError: The rows cannot be read, or are not valid.
    """
    config, settings = plan.native["config"], plan.native["rows"]
    folder.mkdir(exist_ok=True)
    copy_modules(folder, MODULES)
    dataset = download_dataset(Dataset.model_validate(settings["dataset"]), cache)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for row in rows(dataset, settings["method"]):
            file.write(json.dumps(row.value, ensure_ascii=False) + "\n")
    template = dataset.chat_template
    request: dict[str, Any] = {
        "model": config["base_model"],
        "model_revision": settings["model_revision"],
        "trust_remote_code": settings["trust_remote_code"],
        "chat_template": template and Path(template).read_text("utf-8"),
        "max_length": settings["max_length"],
        "method": settings["method"],
        "project": config["project_name"],
        "adapter": config["params"]["peft"] and not config["params"]["merge_adapter"],
        "params": config["params"],
    }
    (folder / "request.json").write_text(json.dumps(request, indent=2), "utf-8")
    (folder / "job.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    return folder
