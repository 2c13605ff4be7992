import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.errors import InputError
from ftsdk.job_folder import JobFolder
from ftsdk.job_types import JobState
from ftsdk.workers.event_writer import EventWriter, Heartbeat, read_events


@pytest.fixture
def folder(tmp_path):
    return JobFolder(tmp_path)


@pytest.fixture
def reporter(folder):
    reporter = EventWriter(folder)
    yield reporter
    reporter.close()


def heartbeat(folder):
    return Heartbeat.model_validate_json(folder.heartbeat.read_text())


def test_events_are_read_as_they_were_written(folder, reporter):
    """Each kind of event is read with its own fields, in order."""
    reporter.state(JobState.RUNNING)
    reporter.metrics(1, {"loss": 2.0})
    reporter.log("hello")
    reporter.warning("low memory")
    reporter.checkpoint(1, "step-1")
    reporter.sample(1, "once upon a time")

    kinds = [event.kind for event in read_events(folder.events)]

    assert ["state", "metrics", "log", "warning", "checkpoint", "sample"] == kinds


def test_a_cursor_is_after_its_event(folder, reporter):
    """Reading after an event's cursor gives the later events and no other."""
    for n in range(3):
        reporter.log(f"{n} äöü\n")
    first = next(iter(read_events(folder.events)))

    rest = [event.message for event in read_events(folder.events, first.cursor)]

    assert ["1 äöü\n", "2 äöü\n"] == rest


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5"])
def test_a_foreign_cursor_is_refused(folder, cursor):
    """What is not a cursor is an error of the caller."""
    with pytest.raises(InputError, match="no cursor"):
        list(read_events(folder.events, cursor))


def test_a_cursor_inside_a_line_is_refused(folder, reporter):
    """A number that is no border between events is an error of the caller's, not damage to the file."""
    reporter.log("a line")

    with pytest.raises(InputError, match="no cursor"):
        list(read_events(folder.events, "3"))


def test_a_cursor_behind_the_end_gives_nothing(folder, reporter):
    """Where nothing is yet, nothing comes."""
    reporter.log("one")

    assert [] == list(read_events(folder.events, "99999"))


def test_a_half_line_is_left_for_later(folder, reporter):
    """A line that is just being written is no event yet."""
    reporter.log("whole")
    with folder.events.open("ab") as file:
        file.write(b'{"time": 1.0, "kind": "log", "mess')

    assert ["whole"] == [event.message for event in read_events(folder.events)]


def test_a_new_attempt_cuts_off_the_half_line(folder):
    """What a killed worker left half written does not spoil the next worker's first event."""
    folder.events.write_bytes(b'{"time": 1.0, "kind": "log", "message": "old"}\n{"time": 2.0, "ki')

    reporter = EventWriter(folder)
    reporter.log("new")
    reporter.close()

    assert ["old", "new"] == [event.message for event in read_events(folder.events)]


@given(st.binary(max_size=200))
def test_no_damage_stops_the_reader(tmp_path_factory, garbage):
    """Whatever a power cut left in the file, later events are read."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    path.write_bytes(garbage + b'\n{"time": 1.0, "kind": "log", "message": "later"}\n')

    assert "later" == list(read_events(path))[-1].message


def test_what_is_not_finite_is_left_out_and_warned_of_once(folder, reporter):
    """JSON knows no NaN: the value is left out, and the first one gives a warning."""
    for step in (1, 2):
        reporter.metrics(step, {"loss": float("nan"), "grad_norm": 1.0})

    events = list(read_events(folder.events))

    assert [{"grad_norm": 1.0}, {"grad_norm": 1.0}] == [e.metrics for e in events if e.kind == "metrics"]
    assert ["loss is nan at step 1; values that are not finite are left out"] == [
        e.message for e in events if e.message
    ]


def test_text_that_utf8_cannot_encode_is_written_all_the_same(folder, reporter):
    """Half a surrogate pair, as a model may write it, is replaced."""
    reporter.sample(1, "a\ud800b")

    assert ["a?b"] == [event.message for event in read_events(folder.events)]


def test_a_full_disk_leaves_no_half_event(folder, reporter, monkeypatch):
    """When only part of an event fits, the error is raised and the part is taken back."""
    full = os.open("/dev/full", os.O_WRONLY)
    reporter.log("before")
    write = os.write
    with monkeypatch.context() as disk:
        disk.setattr(os, "write", lambda file, data: write(file, data[:5]) if len(data) > 60 else write(full, data))
        with pytest.raises(OSError, match="No space left"):
            reporter.log("this does not fit")
    os.close(full)
    reporter.log("after")

    assert ["before", "after"] == [event.message for event in read_events(folder.events)]


def test_the_heartbeat_has_the_progress(folder, reporter):
    """Step, remaining time, stage and the last value of each metric are in the heartbeat."""
    reporter.stage("training")
    reporter.metrics(5, {"eval_loss": 3.0})
    reporter.metrics(6, {"loss": 2.0})
    reporter.progress(6, 10, 4.0)
    reporter.state(JobState.RUNNING)

    beat = heartbeat(folder)

    assert ("training", 6, 10, 4.0, {"eval_loss": 3.0, "loss": 2.0}) == (
        beat.stage,
        beat.step,
        beat.total_steps,
        beat.eta_seconds,
        beat.metrics,
    )


def test_the_heartbeat_is_written_by_itself(folder, reporter):
    """Progress reaches the disk within seconds without delaying the code that reports it."""
    reporter.progress(1, 2, 1.0)
    end = time.monotonic() + 5

    while heartbeat(folder).step != 1:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_fast_engine_does_not_wear_out_the_disk(folder, reporter):
    """A thousand steps a second make no more than one beat a second."""
    for step in range(1000):
        reporter.progress(step, 1000, 1.0)

    assert heartbeat(folder).counter <= 2


def test_an_event_is_one_strict_line(folder, reporter):
    """Nothing in a message can begin a line of its own."""
    reporter.log('a\n{"kind": "state"}\r\x1b[2J')

    lines = folder.events.read_bytes().splitlines()

    assert [1, "log"] == [len(lines), json.loads(lines[0])["kind"]]
