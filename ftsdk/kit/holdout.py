"""Draw the rows that are held out for evaluation: the same ones on every backend, for the same seed."""

from ftsdk.errors import DataError


def held_out(rows: int, val_size: float, seed: int) -> frozenset[int]:
    """The places, counted from 0, of the rows to hold out.

    Args:
        rows: Rows in all.
        val_size: A share below 1, or a number of rows; at least one row is drawn. 0: none.
        seed: Decides the draw.

    Raises:
        DataError: No row would be left to train on.
    """
    if val_size == 0:
        return frozenset()
    count = max(round(val_size * rows), 1) if val_size < 1 else int(val_size)
    if count >= rows:
        raise DataError(
            f"val_size={val_size:g} would hold out {count} of {rows} rows and leave none to train on",
            hint="lower val_size, or add rows",
        )
    import numpy as np  # noqa: PLC0415 - only where rows are held out

    return frozenset(np.random.default_rng(seed).permutation(rows)[:count].tolist())
