"""One spec on every backend: a row for each, with the reason where it cannot run, and no invented numbers."""

import json
import threading

import pytest

import ftsdk
from ftsdk import registry
from ftsdk.client.comparison import compare
from ftsdk.client.throughput import _seconds_per_step
from ftsdk.errors import MissingExtra, Problem
from ftsdk.forecast import MemoryForecast
from ftsdk.job_types import Event
from ftsdk.store.store import Store
from ftsdk.testing import FakeBackend

ROW = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}


class Keyless(FakeBackend):
    """Can plan, but has no key."""

    name = "keyless"

    def check(self):
        return [Problem("KEYLESS_API_KEY", "is not set", "make one")]


class Crashing(FakeBackend):
    """A third party's plug-in with a bug."""

    name = "crashing"

    def plan(self, spec, options):
        raise ZeroDivisionError("division by zero")


class Silent(FakeBackend):
    """Never answers."""

    name = "silent"

    def plan(self, spec, options):
        threading.Event().wait()


class Card(FakeBackend):
    """Trains on a card of one gibibyte, at a price by the hour."""

    name = "card"

    def plan(self, spec, options):
        memory = MemoryForecast(
            weights=2**31, adapter=0, gradients=0, optimizer=0, activations=0, layer=0, logits=0, overhead=0
        )
        fields = {
            "memory": memory,
            "device": "a card",
            "device_memory": 2**30,
            "price": None,
            "charge": "$1.00 an hour",
        }
        return super().plan(spec, options).model_copy(update=fields)


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(ROW) + "\n" for _ in range(64)))
    return ftsdk.JobSpec(model="org/model", dataset=str(path), compute={"attention": "sdpa"})


@pytest.fixture
def estimate_on(monkeypatch, spec):
    """Compares with some backends installed, and gives the estimates by name."""

    def make(*kinds, patience=30.0, of=spec, **arguments):
        backends = {kind.name: kind for kind in kinds}

        def load(name):
            if name == "bare":
                raise MissingExtra("bare", "acme")
            return backends[name]()

        monkeypatch.setattr(registry, "backend_names", lambda: [*backends, "bare"])
        monkeypatch.setattr(registry, "load_backend", load)
        return {estimate.backend: estimate for estimate in compare(of, patience=patience, **arguments)}

    return make


def test_a_row_for_each_backend(estimate_on):
    """A missing extra, a missing key and a crash are rows with the reason, beside the backend that can run it."""
    estimates = estimate_on(Card, Keyless, Crashing)

    assert ["card"] == [name for name, estimate in estimates.items() if estimate.can]
    assert "pip install 'ftsdk[bare]'" in estimates["bare"].why_not
    assert "KEYLESS_API_KEY: is not set -> make one" == estimates["keyless"].why_not
    assert "it crashed with ZeroDivisionError: division by zero" == estimates["crashing"].why_not


def test_memory_price_and_ignored_advice(estimate_on):
    """An estimate says whether the job fits on the device, and on what the price depends."""
    estimate = estimate_on(Card)["card"]

    assert (2**31, False, "a card") == (estimate.memory, estimate.fits, estimate.device)
    assert (None, "$1.00 an hour", ("compute.attention",)) == (estimate.price, estimate.charge, estimate.set_aside)


def test_the_fields_that_are_not_supported(estimate_on, spec):
    """Of a refusal, the first reason is shown."""
    refused = spec.model_copy(update={"training": spec.training.model_copy(update={"quantization_aware": "int8"})})

    assert "does not round weights" in estimate_on(Card, of=refused)["card"].why_not


def test_a_backend_that_never_answers_times_out(estimate_on):
    """The others are reported all the same."""
    estimates = estimate_on(Card, Silent, patience=1.0)

    assert (True, "no answer within 1 seconds") == (estimates["card"].can, estimates["silent"].why_not)


def test_nothing_is_left_behind(estimate_on, ftsdk_home):
    """A comparison records nothing and submits nothing."""
    estimate_on(Card)

    assert not list(ftsdk_home.rglob("*"))


def test_time_is_that_of_an_earlier_job(estimate_on, spec):
    """Throughput is by characters: twice the epochs, twice the time; for other settings there is none."""

    class Here(FakeBackend):
        name = "fake"

    script = {"run_seconds": 2, "steps": 10, "price": 0}
    here = spec.model_copy(update={"backend": "fake", "backend_options": {"fake": script}})
    earlier_job = ftsdk.submit(here)
    ftsdk.wait(earlier_job, poll=0.05)
    longer = here.model_copy(update={"training": here.training.model_copy(update={"num_train_epochs": 6})})
    shorter = here.model_copy(update={"training": here.training.model_copy(update={"max_length": 64})})

    store = Store()
    same, doubled, unlike = (estimate_on(Here, of=job, store=store)["fake"] for job in (here, longer, shorter))

    assert str(earlier_job) == same.measured_by
    assert 2 * same.seconds == pytest.approx(doubled.seconds)
    assert unlike.seconds is None


def metrics(step, time, **values):
    return Event(cursor=str(step), time=time, kind="metrics", step=step, metrics=values)


def test_the_time_of_a_step_is_that_of_its_tokens():
    """Where a job counts tokens, other work between two steps, such as saving, does not count."""
    pace = {"tokens_per_step": 100.0, "tokens_per_second": 400.0}

    assert 0.25 == _seconds_per_step([metrics(5, 10.0, **pace), metrics(10, 90.0, **pace)])
    assert 16.0 == _seconds_per_step([metrics(5, 10.0, loss=1.0), metrics(10, 90.0, loss=1.0)])
    assert _seconds_per_step([metrics(5, 10.0, loss=1.0)]) is None


def test_time_is_not_known_without_an_earlier_job(estimate_on, spec):
    """No number is invented."""
    assert estimate_on(Card, of=spec, store=Store())["card"].seconds is None
