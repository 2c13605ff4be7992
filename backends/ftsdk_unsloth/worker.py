"""The process that does an Unsloth job on this machine: ``python -P -m ftsdk_unsloth.worker FOLDER``."""

import sys
from functools import partial

from ftsdk.engines.engine_job import EngineSpec, train
from ftsdk.workers import worker
from ftsdk_unsloth.installation import ENGINE_ENVIRONMENT

ENGINE = EngineSpec(
    ENGINE_ENVIRONMENT,
    runner="ftsdk_unsloth.runner",
    file="job.json",
    tools=("ftsdk_unsloth.models", "ftsdk_unsloth.train", "ftsdk_unsloth.trainers"),
)

if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], partial(train, ENGINE)))
