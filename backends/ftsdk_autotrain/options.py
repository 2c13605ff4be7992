"""Settings that AutoTrain alone has: ``backend_options.autotrain`` in the spec."""

from typing import Literal

from ftsdk.kit.jobs.engines import EngineOptions


class AutoTrainOptions(EngineOptions):
    """What a spec does not say, because only AutoTrain has it."""

    executor: Literal["local"] = "local"
    """Where AutoTrain runs: ``local`` is this machine."""
    merge_adapter: bool = False
    """Merge the adapter into the base, in float16; the adapter alone is not kept."""
    padding: Literal["left", "right"] = "right"
    """The side on which rows are padded."""
