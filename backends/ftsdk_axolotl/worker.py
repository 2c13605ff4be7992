"""The process that does an Axolotl job on this machine: ``python -P -m ftsdk_axolotl.worker FOLDER``."""

import sys
from functools import partial

from ftsdk.engines.engine_job import EngineSpec, train
from ftsdk.workers import worker
from ftsdk_axolotl.installation import ENGINE_ENVIRONMENT

ENGINE = EngineSpec(
    ENGINE_ENVIRONMENT,
    runner="ftsdk_axolotl.runner",
    file="job.yaml",
    tools=("ftsdk_axolotl.plugin", "ftsdk_axolotl.settings", "ftsdk_axolotl.trainers"),
)

if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], partial(train, ENGINE)))
