"""Numbers with their units, for messages."""

GIB = 2**30


def gib(count: float) -> str:
    """Bytes in GiB, such as ``1.50 GiB``."""
    return f"{count / GIB:.2f} GiB"
