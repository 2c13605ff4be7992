"""TRL as a guest: it sends nothing, draws nothing, writes no card, and what it warns of reaches the user."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ftsdk.workers.event_writer import EventWriter


class _Told(logging.Handler):
    """Hands log records to the reporter, each text once."""

    def __init__(self, reporter: EventWriter) -> None:
        super().__init__(logging.WARNING)
        self._reporter = reporter
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._told:
            self._told.add(text)
            self._reporter.warning(f"{record.name}: {text}")


@contextmanager
def guest_of(reporter: EventWriter) -> Iterator[None]:
    """While TRL works: nothing leaves the process, no bars are drawn, warnings become the job's."""
    import datasets  # noqa: PLC0415 - heavy
    from huggingface_hub import constants  # noqa: PLC0415 - heavy

    constants.HF_HUB_DISABLE_TELEMETRY = True
    datasets.disable_progress_bars()
    logger, handler = logging.getLogger("trl"), _Told(reporter)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def weights_kept(model: Any) -> Iterator[None]:
    """TRL rounds adapters of a quantized base to bfloat16; put them back, or a resumed run would differ."""
    before = [(weight, weight.data) for weight in model.parameters() if weight.requires_grad]
    yield
    for weight, data in before:
        weight.data = data


def tokenizer_for_trl(tokenizer: Any) -> Any:
    """A copy that can pad; what it pads with is masked."""
    its_own = copy.deepcopy(tokenizer)
    if its_own.pad_token is None:
        its_own.pad_token = its_own.eos_token or its_own.convert_ids_to_tokens(0)
    return its_own
