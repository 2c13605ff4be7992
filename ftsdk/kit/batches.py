"""Cut a step's rows into batches of a device, for engines that count in batches and accumulation."""

from ftsdk.kit.ledger import Ledger

_MOST_ROWS = 4
"""Rows at a time on one device, where the spec does not say."""


def cut_batch(ledger: Ledger, size: str, accumulation: str) -> dict[str, int]:
    """The two native fields whose product is ``training.global_batch_size``, on one device.

    Args:
        ledger: Has the spec; a size that does not divide the step is refused there.
        size: The engine's name for rows at a time.
        accumulation: Its name for batches in a step.
    """
    whole: int = ledger.take("training.global_batch_size", f"{size} x {accumulation}")
    asked: int | None = ledger.take("compute.per_device_train_batch_size", size)
    rows = asked or next(rows for rows in range(min(_MOST_ROWS, whole), 0, -1) if whole % rows == 0)
    if whole % rows:
        what = f"training.global_batch_size={whole} cannot be made of batches of {rows}"
        ledger.refuse("compute.per_device_train_batch_size", what, "a divisor of it")
    return {size: rows, accumulation: whole // rows}
