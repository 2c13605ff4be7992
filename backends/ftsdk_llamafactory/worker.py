"""The process that does a LLaMA-Factory job on this machine: ``python -P -m ftsdk_llamafactory.worker FOLDER``."""

import sys
from functools import partial

from ftsdk.engines.engine_job import EngineSpec, train
from ftsdk.workers import worker
from ftsdk_llamafactory.installation import ENGINE_ENVIRONMENT, ENGINE_ENVIRONMENTS

ENGINE = EngineSpec(
    ENGINE_ENVIRONMENT,
    runner="ftsdk_llamafactory.runner",
    file="job.yaml",
    tools=("ftsdk_llamafactory.scores",),
    environments=ENGINE_ENVIRONMENTS,
)

if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], partial(train, ENGINE)))
