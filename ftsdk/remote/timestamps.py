"""Read the timestamps of remote services: ISO 8601, and in UTC where no zone is written."""

from datetime import UTC, datetime


def parse_timestamp(text: object) -> datetime | None:
    """The date and time with its zone; None where the text is no ISO 8601 date.

    Args:
        text: As the service sent it. The services document UTC; some leave the zone out.
    """
    try:
        date = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    # Not .astimezone() or .timestamp(): both read a bare time as local, hours off, and by another amount in summer.
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def epoch_seconds(text: object) -> float:
    """Seconds since 1970; 0 where the text is no ISO 8601 date."""
    date = parse_timestamp(text)
    return date.timestamp() if date else 0.0
