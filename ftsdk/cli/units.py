"""Numbers as people read them."""

from datetime import UTC, datetime

from ftsdk.units import GIB

_MIB = 2**20


def size(count: int) -> str:
    """Bytes, in GiB from one GiB on, else in MiB."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / _MIB:,.1f} MiB"


def duration(seconds: float) -> str:
    """Seconds as ``45s``, ``3m 20s`` or ``2h 05m``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def dollars(amount: float | None) -> str:
    """A price; ``free`` for nothing, ``not known`` for None."""
    if amount is None:
        return "not known"
    return f"${amount:,.2f}" if amount else "free"


def local_minute(seconds: float) -> str:
    """A time since 1970 in the local time zone, to the minute."""
    return f"{_local(seconds):%Y-%m-%d %H:%M}"


def local_second(seconds: float) -> str:
    """A time since 1970 in the local time zone, to the second."""
    return f"{_local(seconds):%Y-%m-%d %H:%M:%S}"


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).astimezone()


def metric(value: float) -> str:
    """A metric: four significant digits, or an integer from a thousand on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
