"""The process that runs an Axolotl job on this machine: ``python -P -m ftsdk_axolotl.worker FOLDER``."""

import sys

from ftsdk.engines.engine_job import EngineSpec, main
from ftsdk_axolotl.engine import ENGINE_ENVIRONMENT

ENGINE = EngineSpec(
    ENGINE_ENVIRONMENT,
    runner="ftsdk_axolotl.runner",
    file="job.yaml",
    tools=("ftsdk_axolotl.plugin", "ftsdk_axolotl.settings", "ftsdk_axolotl.trainers"),
)

if __name__ == "__main__":
    sys.exit(main(ENGINE, sys.argv[1:]))
