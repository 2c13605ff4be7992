"""The process that runs an Unsloth job on this machine: ``python -P -m ftsdk_unsloth.worker FOLDER``."""

import sys

from ftsdk.engines.engine_job import EngineSpec, main
from ftsdk_unsloth.engine import ENGINE_ENVIRONMENT

ENGINE = EngineSpec(
    ENGINE_ENVIRONMENT,
    runner="ftsdk_unsloth.runner",
    file="job.json",
    tools=("ftsdk_unsloth.models", "ftsdk_unsloth.train", "ftsdk_unsloth.trainers"),
)

if __name__ == "__main__":
    sys.exit(main(ENGINE, sys.argv[1:]))
