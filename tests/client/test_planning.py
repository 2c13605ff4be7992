"""Planning: errors and warnings before anything is sent."""

import json

import pytest

import ftsdk
from ftsdk import registry
from ftsdk.errors import BackendNotFound, DataError, MissingExtra, SpecError, UnsupportedSpec
from ftsdk.files import sha256
from ftsdk.testing import FakeBackend

ROW = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}


class OtherBackend(FakeBackend):
    """A second backend to choose."""

    name = "other"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(ROW) + "\n" for _ in range(4)))
    return path


@pytest.fixture
def spec(rows):
    def make(**fields):
        return ftsdk.JobSpec(**{"model": "org/model", "dataset": str(rows), "backend": "fake", **fields})

    return make


@pytest.fixture
def installed(monkeypatch):
    """Two backends that work, and one whose package is missing."""
    backends = {"fake": FakeBackend, "other": OtherBackend}

    def load(name):
        if name == "bare":
            raise MissingExtra("bare", "acme")
        return backends[name]()

    monkeypatch.setattr(registry, "backend_names", lambda: [*sorted(backends), "bare"])
    monkeypatch.setattr(registry, "load_backend", load)
    return backends


def test_plan_shows_the_request_and_the_rows(spec):
    """A plan has the native request, how each field is used, and a report on the rows."""
    plan = ftsdk.plan(spec())

    assert ("fake", 4, True) == (plan.backend, plan.data.rows, "parameters" in plan.native)


def test_the_plan_has_the_held_out_file_too(spec, rows, tmp_path):
    """The plan, and so the artifact, has a hash of each file: of the training rows, and of those held out."""
    held_out = tmp_path / "held.jsonl"
    held_out.write_text(json.dumps(ROW) + "\n")

    plan = ftsdk.plan(spec(eval_dataset=str(held_out)))

    assert {str(rows): sha256(rows), str(held_out): sha256(held_out)} == plan.data.sha256
    assert 4 == plan.data.rows


def test_plan_leaves_no_trace(spec, ftsdk_home):
    """Planning writes nothing."""
    ftsdk.plan(spec())

    assert not list(ftsdk_home.rglob("*"))


def test_call_chooses_the_backend(spec, installed):
    """The backend of the call overrides that of the spec."""
    assert "other" == ftsdk.plan(spec(), backend="other").backend


def test_spec_may_be_a_mapping_or_a_file(spec, tmp_path):
    """Fields and files work like a JobSpec."""
    fields = spec().as_written()
    (tmp_path / "job.json").write_text(json.dumps(fields))

    assert ftsdk.plan(fields).native == ftsdk.plan(tmp_path / "job.json").native == ftsdk.plan(spec()).native


def test_unknown_backend_is_refused(spec):
    """The error names the nearest backend."""
    with pytest.raises(BackendNotFound, match="did you mean fake"):
        ftsdk.plan(spec(), backend="fak")


def test_wrong_option_is_named(spec):
    """An option that the backend does not know is named with its place."""
    with pytest.raises(SpecError, match=r"backend_options\.fake\.outcom\b"):
        ftsdk.plan(spec(backend_options={"fake": {"outcom": "oom"}}))


def test_options_of_other_backends_are_checked(spec, installed):
    """Options are checked also of backends that are not in use."""
    with pytest.raises(SpecError, match=r"backend_options\.other\.steps"):
        ftsdk.plan(spec(backend_options={"other": {"steps": 0}}))


def test_options_of_an_unknown_backend_are_refused(spec):
    """A section for a backend that does not exist is an error with the nearest name."""
    with pytest.raises(SpecError, match="did you mean fake"):
        ftsdk.plan(spec(backend_options={"fkae": {}}))


def test_options_that_cannot_be_checked_are_warned_of(spec, installed):
    """Options of a backend whose package is missing cannot be checked; the plan says so."""
    plan = ftsdk.plan(spec(backend_options={"bare": {"x": 1}}))

    assert any(warning.startswith("backend_options.bare were not checked") for warning in plan.warnings)


def test_missing_extra_of_the_chosen_backend_is_an_error(spec, installed):
    """The chosen backend must be installed."""
    with pytest.raises(MissingExtra, match=r"pip install 'ftsdk\[bare\]'"):
        ftsdk.plan(spec(), backend="bare")


def test_refusal_names_backends_that_can(spec, installed, monkeypatch):
    """When one backend cannot honour a spec, those that can are named."""
    monkeypatch.setattr(OtherBackend, "plan", FakeBackend.plan)

    def refuse(self, spec, options):
        raise UnsupportedSpec(self.name, [("adapter.r", "only 8")])

    installed["picky"] = type("Picky", (FakeBackend,), {"name": "picky", "plan": refuse})
    with pytest.raises(UnsupportedSpec) as caught:
        ftsdk.plan(spec(), backend="picky")

    assert (("other",), "adapter.r") == (caught.value.backends_that_can, caught.value.problems[0].where)


def test_strict_plan_refuses_ignored_advice(spec):
    """With ``strict``, advice that would be ignored is refused."""
    picky = spec(compute=ftsdk.Compute(attention="eager"))

    assert ["compute.attention"] == [note.field for note in ftsdk.plan(picky).set_aside]
    with pytest.raises(UnsupportedSpec, match=r"compute\.attention"):
        ftsdk.plan(picky, strict=True)


def test_bad_rows_are_refused_with_file_and_line(spec, rows):
    """The rows are checked before anything is sent."""
    rows.write_text(json.dumps(ROW) + "\n{broken\n")

    with pytest.raises(DataError, match=r"rows\.jsonl:2"):
        ftsdk.submit(spec())
    assert [] == ftsdk.jobs()


def test_bad_held_out_rows_are_refused(spec, tmp_path):
    """Held-out rows are checked as well."""
    (tmp_path / "held-out.jsonl").write_text("{broken\n")

    with pytest.raises(DataError, match=r"held-out\.jsonl:1"):
        ftsdk.plan(spec(eval_dataset=str(tmp_path / "held-out.jsonl")))


def test_rows_elsewhere_are_warned_of(spec):
    """Rows on the Hub are not checked here, and the plan says so."""
    plan = ftsdk.plan(spec(dataset="org/rows"))

    assert (None, True) == (plan.data, any("were not checked" in warning for warning in plan.warnings))


def test_secret_in_a_spec_is_refused(spec, monkeypatch):
    """A secret of the environment is refused, and the error does not repeat it."""
    monkeypatch.setenv("ACME_API_KEY", "canary-9f8e7d6c5b4a")

    with pytest.raises(SpecError, match=r"spec\.metadata\.note") as caught:
        ftsdk.plan(spec(metadata={"note": "use canary-9f8e7d6c5b4a"}))
    assert "canary" not in str(caught.value)


def test_holding_out_all_rows_is_refused(spec):
    """A ``val_size`` that leaves nothing to train on is refused while nothing has been sent."""
    with pytest.raises(SpecError) as caught:
        ftsdk.plan(spec(val_size=4))

    assert [problem.where for problem in caught.value.problems] == ["val_size"]


@pytest.mark.parametrize(
    ("training", "steps"),
    [({"max_steps": 5, "warmup_steps": 5}, 5), ({"global_batch_size": 2, "num_train_epochs": 3, "warmup_steps": 9}, 6)],
)
def test_a_training_that_is_all_warm_up_is_reported(spec, training, steps):
    """A warm-up as long as the training, in steps or by epochs of four rows, is hardly intended."""
    warnings = " ".join(ftsdk.plan(spec(training=training)).warnings)

    assert f"would never reach its peak in {steps} steps" in warnings


def test_a_usual_warm_up_is_not_reported(spec):
    """A warm-up that is shorter than the training has no warning."""
    warnings = ftsdk.plan(spec(training={"max_steps": 5, "warmup_steps": 4})).warnings

    assert not any("warmup" in warning for warning in warnings)


def test_a_misspelt_option_names_the_nearest():
    """An unknown option is reported with the nearest one."""
    spec = {"model": "m", "dataset": "d.jsonl", "backend": "local", "backend_options": {"local": {"grce_seconds": 3}}}
    with pytest.raises(SpecError) as caught:
        ftsdk.plan(spec)

    assert ("backend_options.local.grce_seconds", "did you mean grace_seconds?") == caught.value.problems[0][::2]
