"""The process that does a LLaMA-Factory job on this machine: ``python -P -m ftsdk_llamafactory.worker FOLDER``."""

import sys
from functools import partial

from ftsdk.engines.engine_job import Engine, train
from ftsdk.workers import worker
from ftsdk_llamafactory.installation import HOUSE, HOUSES

ENGINE = Engine(
    HOUSE,
    runner="ftsdk_llamafactory.runner",
    file="job.yaml",
    tools=("ftsdk_llamafactory.scores",),
    houses=HOUSES,
)

if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], partial(train, ENGINE)))
