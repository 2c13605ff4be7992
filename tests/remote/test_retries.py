"""How long a service requests to wait."""

import email.utils
import time

import pytest

from ftsdk.remote.retries import requested_pause


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "-7"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"ratelimit": '"api";r=0;t=55'}, 55.0),
        ({"ratelimit": '"api"; r=0; t=55'}, 55.0),
        ({"ratelimit": '"api";r=20;t=55'}, None),
        ({"retry-after": "7", "ratelimit": '"api";r=0;t=55'}, 7.0),
        ({"ratelimit": "nonsense"}, None),
    ],
)
def test_a_pause_is_a_number_of_seconds(headers, seconds):
    """By either header; where requests remain, or there is no header, no pause is requested."""
    assert seconds == requested_pause(headers)


def test_a_pause_may_be_a_date():
    """A date is as many seconds as lie before it, none where it is past."""
    dates = [email.utils.formatdate(time.time() + seconds, usegmt=True) for seconds in (90, -90)]

    assert [pytest.approx(90, abs=5), 0.0] == [requested_pause({"retry-after": date}) for date in dates]
