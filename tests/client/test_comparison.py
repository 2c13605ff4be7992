"""One spec on every backend: a row for each, whatever stands in its way, and never an invented number."""

import json
import threading

import pytest

import ftsdk
from ftsdk import plugins
from ftsdk.client.comparison import compare
from ftsdk.client.throughput import _seconds_per_step
from ftsdk.errors import MissingExtra, Problem
from ftsdk.forecast import MemoryForecast
from ftsdk.job_types import Event
from ftsdk.store.store import Store
from ftsdk.testing import FakeBackend

ROW = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}


class Keyless(FakeBackend):
    """Can plan, but lacks a key."""

    name = "keyless"

    def check(self):
        return [Problem("KEYLESS_API_KEY", "is not set", "make one")]


class Broken(FakeBackend):
    """A stranger's plug-in with a bug."""

    name = "broken"

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
        told = {"memory": memory, "device": "a card", "device_memory": 2**30, "price": None, "charge": "$1.00 an hour"}
        return super().plan(spec, options).model_copy(update=told)


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(ROW) + "\n" for _ in range(64)))
    return ftsdk.JobSpec(model="org/model", dataset=str(path), compute={"attention": "sdpa"})


@pytest.fixture
def offers(monkeypatch, spec):
    """Compares with some backends installed, and gives the offers by name."""

    def make(*kinds, patience=30.0, **how):
        backends = {kind.name: kind for kind in kinds}

        def load(name):
            if name == "bare":
                raise MissingExtra("bare", "acme")
            return backends[name]()

        monkeypatch.setattr(plugins, "backend_names", lambda: [*backends, "bare"])
        monkeypatch.setattr(plugins, "load_backend", load)
        return {offer.backend: offer for offer in compare(how.pop("of", spec), patience=patience, **how)}

    return make


def test_a_row_for_each_backend(offers):
    """A missing extra, a missing key and a bug are rows with the reason; what can run says so."""
    found = offers(Card, Keyless, Broken)

    assert ["card"] == [name for name, offer in found.items() if offer.can]
    assert "pip install 'ftsdk[bare]'" in found["bare"].why_not
    assert "KEYLESS_API_KEY: is not set -> make one" == found["keyless"].why_not
    assert "it broke with ZeroDivisionError: division by zero" == found["broken"].why_not


def test_memory_price_and_what_is_set_aside(offers):
    """What does not fit on the backend's device is said, with what the price depends on."""
    found = offers(Card)["card"]

    assert (2**31, False, "a card") == (found.memory, found.fits, found.device)
    assert (None, "$1.00 an hour", ("compute.attention",)) == (found.price, found.charge, found.set_aside)


def test_the_fields_that_are_refused(offers, spec):
    """Of a refusal, the first reason and how many more there are."""
    refused = spec.model_copy(update={"training": spec.training.model_copy(update={"quantization_aware": "int8"})})

    assert "does not round weights" in offers(Card, of=refused)["card"].why_not


def test_a_backend_that_never_answers_is_given_up(offers):
    """The others are told all the same."""
    found = offers(Card, Silent, patience=1.0)

    assert (True, "no answer within 1 seconds") == (found["card"].can, found["silent"].why_not)


def test_nothing_is_left_behind(offers, ftsdk_home):
    """A comparison records nothing and submits nothing."""
    offers(Card)

    assert not list(ftsdk_home.rglob("*"))


def test_time_is_that_of_an_earlier_job(offers, spec):
    """Its pace by the characters of the rows: twice the epochs, twice the time; of other settings nothing is said."""

    class Here(FakeBackend):
        name = "fake"

    script = {"run_seconds": 2, "steps": 10, "price": 0}
    here = spec.model_copy(update={"backend": "fake", "backend_options": {"fake": script}})
    done = ftsdk.submit(here)
    ftsdk.wait(done, poll=0.05)
    longer = here.model_copy(update={"training": here.training.model_copy(update={"num_train_epochs": 6})})
    other = here.model_copy(update={"training": here.training.model_copy(update={"max_length": 64})})

    store = Store()
    once, twice, unlike = (offers(Here, of=job, store=store)["fake"] for job in (here, longer, other))

    assert str(done) == once.measured_by
    assert 2 * once.seconds == pytest.approx(twice.seconds)
    assert unlike.seconds is None


def metrics(step, time, **values):
    return Event(cursor=str(step), time=time, kind="metrics", step=step, metrics=values)


def test_the_time_of_a_step_is_that_of_its_tokens():
    """Where a job counts tokens, what lies between two steps beside them, such as saving, has no weight."""
    pace = {"tokens_per_step": 100.0, "tokens_per_second": 400.0}

    assert 0.25 == _seconds_per_step([metrics(5, 10.0, **pace), metrics(10, 90.0, **pace)])
    assert 16.0 == _seconds_per_step([metrics(5, 10.0, loss=1.0), metrics(10, 90.0, loss=1.0)])
    assert _seconds_per_step([metrics(5, 10.0, loss=1.0)]) is None


def test_time_is_not_known_without_an_earlier_job(offers, spec):
    """No number is made up."""
    assert offers(Card, of=spec, store=Store())["card"].seconds is None
