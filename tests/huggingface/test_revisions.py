"""Repositories of the Hub are pinned to commits in the plan, and missing ones are refused there."""

import json

import pytest
from hub_service import KEY, Fault

import ftsdk
from ftsdk.errors import AuthError, UnsupportedSpec
from ftsdk_local import LocalBackend


@pytest.fixture(autouse=True)
def _hub(service, tiny_model, monkeypatch):
    """Models and rows, some of which are not accessible; local jobs, for pins are the same everywhere."""
    service.add("org/tiny", tiny_model)
    service.add("org/closed", tiny_model, gated=True)
    service.add("org/private", tiny_model, private=True)
    service.add("org/no-model", {"README.md": b"none"})
    service.add("org/rows", {"train.jsonl": b'{"prompt": "a", "completion": "b"}\n'}, kind="dataset")
    local = LocalBackend()
    monkeypatch.setattr("ftsdk.registry.load_backend", lambda name: local)
    monkeypatch.setattr("ftsdk.registry.backend_names", lambda: ["local"])


def planned(model="org/tiny", **changes):
    return ftsdk.plan(ftsdk.JobSpec.model_validate({"model": model, "dataset": "org/rows", **changes}))


def refused(*arguments, **changes):
    with pytest.raises(UnsupportedSpec) as caught:
        planned(*arguments, **changes)
    return {problem.where: f"{problem.what} -> {problem.fix}" for problem in caught.value.problems}


def head(service, name, kind="model"):
    return service.repos[kind, name].commits[-1][0]


def test_model_and_rows_are_pinned(service):
    """Both at today's commit, so that the same plan means the same tomorrow."""
    native = planned().native

    assert head(service, "org/tiny") == native["model"]["revision"]
    assert head(service, "org/rows", "dataset") == native["data"]["dataset"]["revision"]


def test_a_branch_becomes_its_commit(service):
    """A branch moves on; the plan does not."""
    repo = service.repos["model", "org/tiny"]
    repo.names["v1"] = repo.commits[-1][0]
    repo.commit({"NOTES.md": b"newer"}, "later")

    assert repo.names["v1"] == planned(model_revision="v1").native["model"]["revision"]


def test_several_datasets_are_a_warning(service):
    """They share one revision, so that none can be pinned; the plan says so."""
    service.add("org/more", {"train.jsonl": b"{}\n"}, kind="dataset")
    plan = planned(dataset={"path": ["org/rows", "org/more"]})

    assert any("share one revision" in warning for warning in plan.warnings)


def test_the_memory_of_a_hub_model_is_forecast():
    """Its config file tells its size, before any weight is downloaded."""
    assert planned().memory is not None


def test_gated():
    """The refusal names the page to visit."""
    assert "/org/closed, then set HF_TOKEN" in refused("org/closed")["model"]


def test_private(monkeypatch):
    """With a token it is visible; without one, the refusal says that one may be missing."""
    revision = planned("org/private").native["model"]["revision"]
    monkeypatch.delenv("HF_TOKEN")

    assert revision is not None
    assert "set HF_TOKEN" in refused("org/private")["model"]


def test_what_is_not_there():
    """A missing repository, revision, or model in the repository."""
    assert "Hub shows no model org/missing" in refused("org/missing")["model"]
    assert "no such revision" in refused(model_revision="v9")["model_revision"]
    assert "holds no config.json" in refused("org/no-model")["model"]
    assert "Hub shows no dataset org/nothing" in refused(dataset="org/nothing")["dataset"]
    assert "no such revision" in refused(dataset={"path": "org/rows", "revision": "v9"})["dataset.revision"]


def test_all_at_once():
    """One refusal names everything that is not accessible."""
    assert {"model", "dataset"} == set(refused("org/missing", dataset="org/nothing"))


def test_a_reward_model_is_pinned(service, tiny_model):
    """The model that scores the responses is pinned, too."""
    service.add("org/reward", tiny_model)
    method = {"type": "ppo", "reward": "org/reward"}

    assert head(service, "org/reward") == planned(method=method).native["reward"]["revision"]


def test_the_cache_stands_in_for_the_hub(service, monkeypatch):
    """Offline, the plan takes the commit in the cache, and says so."""
    from huggingface_hub import hf_hub_download

    hf_hub_download("org/tiny", "config.json", endpoint=service.url, token=KEY)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    plan = planned()

    assert head(service, "org/tiny") == plan.native["model"]["revision"]
    assert any("pinned to the commit in its cache" in warning for warning in plan.warnings)


def test_nobody_to_ask(service):
    """Where neither Hub nor cache has the commit, the plan warns that it is not pinned."""
    service.fail("GET", "/api/.*", Fault("status", 503), times=50)
    plan = planned()

    assert (None, True) == (
        plan.native["model"]["revision"],
        any("the newest commit at the job's start" in warning for warning in plan.warnings),
    )


def test_a_wrong_token(monkeypatch):
    """It is an error of its own: what the Hub shows without a token is not what the user means."""
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    with pytest.raises(AuthError):
        planned()


def test_a_folder_needs_no_hub(service, tiny_model, tmp_path):
    """For a model and rows on this disk, no request is sent."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "b"}\n')
    service.requests.clear()
    ftsdk.plan(ftsdk.JobSpec(model=str(tiny_model), dataset=str(rows)))

    assert [] == service.requests


def test_a_path_that_leads_nowhere_is_a_warning(service, tmp_path, monkeypatch):
    """Without the Hub, ``out/nope`` may be a mistyped path as well: there is a folder ``out`` here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    service.fail("GET", "/api/.*", Fault("status", 503), times=50)
    warnings = planned(model="out/nope").warnings

    assert any(f"nor is there a {tmp_path / 'out' / 'nope'}" in warning for warning in warnings)


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "3600"}, {"ratelimit": '"resolvers";r=0;t=300', "ratelimit-policy": '"x";"resolvers";q=9;w=300'}],
    ids=["retry-after", "ratelimit"],
)
@pytest.mark.parametrize(("verb", "path"), [("GET", "/api/models/org/tiny.*"), ("HEAD", "/org/tiny/resolve/.+")])
def test_a_long_pause_is_not_slept_through(service, monkeypatch, verb, path, headers):
    """A Hub that asks to come back later delays no plan: no pause is longer than a minute."""
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    service.fail(verb, path, Fault("status", 429, headers), times=20)

    plan = planned()

    assert "org/tiny" == plan.spec.model
    assert service.count(verb, path) > 0
    assert max(slept, default=0) < 60


@pytest.mark.parametrize("base_revision", [None, "v1"])
def test_the_base_of_an_adapter_is_pinned(service, tmp_path, base_revision):
    """To continue from an adapter in a folder, its base is pinned to today's commit, or to that of its own revision."""
    repo = service.repos["model", "org/tiny"]
    first = repo.names["v1"] = repo.commits[-1][0]
    repo.commit({"NOTES.md": b"newer"}, "later")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "org/tiny",
        "revision": base_revision,
    }
    lora = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj"], "use_dora": False, "use_rslora": False}
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, **lora, "init_lora_weights": True}))

    model = planned(str(tmp_path)).native["model"]

    assert ("org/tiny", first if base_revision else head(service, "org/tiny")) == (model["name"], model["revision"])
