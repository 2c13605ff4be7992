"""The process that runs a LLaMA-Factory job on this machine: ``python -P -m ftsdk_llamafactory.worker FOLDER``."""

import sys

from ftsdk.engines.engine_job import EngineSpec, main
from ftsdk_llamafactory.engine import ENGINE_ENVIRONMENT, ENVIRONMENTS_OF_METHODS

ENGINE = EngineSpec(
    ENGINE_ENVIRONMENT,
    runner="ftsdk_llamafactory.runner",
    file="job.yaml",
    tools=("ftsdk_llamafactory.scores",),
    environments=ENVIRONMENTS_OF_METHODS,
)

if __name__ == "__main__":
    sys.exit(main(ENGINE, sys.argv[1:]))
