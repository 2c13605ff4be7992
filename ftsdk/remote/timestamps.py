"""Read the timestamps of remote services: ISO 8601, and in UTC where no zone is written."""

from datetime import UTC, datetime


def parse_timestamp(text: object) -> datetime | None:
    """A moment with its zone; None where the text is no ISO 8601 date.

    Args:
        text: As the service sent it. The services document UTC; some leave the zone out.
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    # Not .astimezone() or .timestamp(): both read a bare time as local, hours off, and by another amount in summer.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def epoch_seconds(text: object) -> float:
    """Seconds since 1970; 0 where the text is no ISO 8601 date."""
    moment = parse_timestamp(text)
    return moment.timestamp() if moment else 0.0
