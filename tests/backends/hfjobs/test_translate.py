"""A spec becomes a Job: its machine, its time, its price, and the settings of the engine with the paths of the job."""

import json
from types import SimpleNamespace

import pytest
from golden_files import golden
from model_configs import LLAMA_3_8B

from ftsdk import JobSpec
from ftsdk.errors import UnreachableError, UnsupportedSpec
from ftsdk.huggingface.flavors import Flavor, flavors
from ftsdk.huggingface.revisions import Pin
from ftsdk.huggingface.staging import operations_of
from ftsdk_hfjobs import translate
from ftsdk_hfjobs.options import HfJobsOptions

FLAVORS = [
    Flavor("cpu-basic", "CPU Basic", 0, 16 * 10**9, 0.01),
    Flavor("t4-small", "Nvidia T4", 1, 16 * 10**9, 0.4),
    Flavor("l4x1", "Nvidia L4", 1, 24 * 10**9, 0.8),
    Flavor("a100-large", "Nvidia A100", 1, 80 * 10**9, 2.5),
    Flavor("l4x4", "4x Nvidia L4", 4, 24 * 10**9, 3.8),
]
COMMIT = "a" * 40
SPECS = {
    "defaults": {},
    "qlora": {"compute": {"quantization": "nf4", "timeout": "3h"}},
    "dpo": {"method": {"type": "dpo", "beta": 0.3}, "compute": {"quantization": "nf4"}},
    "tracked-and-pushed": {
        "report_to": ["wandb"],
        "push_to_hub": True,
        "hub_model_id": "me/tuned",
        "compute": {"quantization": "nf4"},
        "backend_options": {"hfjobs": {"flavor": "l4x1", "namespace": "acme", "image": "me/image:1"}},
    },
}


@pytest.fixture(autouse=True)
def _config(monkeypatch):
    """The model's config file, as the Hub's cache would have it."""
    monkeypatch.setattr("ftsdk.translation.model_source.cached_config", lambda *_: LLAMA_3_8B)


def planned(changes=None, **context):
    spec = JobSpec.model_validate({"model": "org/llama", "dataset": "/data/rows.jsonl", **(changes or {})})
    options = HfJobsOptions.model_validate(spec.backend_options.get("hfjobs", {}))
    pins = {"model": Pin(COMMIT)}
    variables = frozenset({"HF_TOKEN", "WANDB_API_KEY", "WANDB_PROJECT", "OPENAI_API_KEY"})
    defaults = {"namespace": options.namespace or "me", "flavors": FLAVORS, "pins": pins, "variables": variables}
    return translate.plan(spec, options, translate.HubContext(**{**defaults, **context}))


def refused(changes, **context):
    with pytest.raises(UnsupportedSpec) as caught:
        planned(changes, **context)
    return {problem.where: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize("name", SPECS)
def test_the_request(name):
    """Each spec becomes exactly the golden request; UPDATE_GOLDEN=1 rewrites the files, for review."""
    native = {**planned(SPECS[name]).native, "code": "of the day"}
    request = json.dumps(native, indent=2) + "\n"

    assert golden(f"backends/hfjobs/golden/{name}.json", request) == request


@pytest.mark.parametrize(
    ("compute", "flavor"),
    [({"quantization": "nf4"}, "t4-small"), ({}, "l4x1"), ({"quantization": "int8"}, "t4-small")],
)
def test_the_cheapest_machine_that_it_fits_on(compute, flavor):
    """By the forecast of an 8B model; many cards are no choice, for one alone would be used."""
    plan = planned({"compute": compute})

    assert flavor == plan.native["flavor"]
    assert any(flavor in note.text for note in plan.backends_own)


def test_too_large_for_any():
    """Where no machine holds the job, the smallest change is named."""
    problems = refused({"adapter": None})

    assert "no machine with one card has that" in problems["backend_options.hfjobs.flavor"]
    assert "compute.quantization" in problems["backend_options.hfjobs.flavor"]


def test_a_model_of_unknown_size(monkeypatch):
    """No machine is guessed: the refusal lists them, with their prices."""
    monkeypatch.setattr("ftsdk.translation.model_source.cached_config", lambda *_: None)

    assert "l4x1 (24 GB, $0.80/h)" in refused({})["backend_options.hfjobs.flavor"]


@pytest.mark.parametrize("flavor", ["h100x99", "l4x4"])
def test_machines_that_are_refused(flavor):
    """One that does not exist, and one whose cards would be idle, and paid."""
    options = {"hfjobs": {"flavor": flavor}}

    assert "backend_options.hfjobs.flavor" in refused({"backend_options": options})


def test_a_price_limit():
    """A job that could cost more is refused before anything is sent."""
    options = {"hfjobs": {"flavor": "a100-large", "price_limit": 10}}

    assert "costs up to $61.25" in refused({"backend_options": options})["backend_options.hfjobs.price_limit"]
    assert planned({"backend_options": options, "compute": {"timeout": "3h"}}).native["seconds"] == 3.5 * 3600


def test_the_price_is_shown():
    """What an hour costs, and the most that the job can cost."""
    warnings = " ".join(planned({"compute": {"quantization": "nf4", "timeout": "3h"}}).warnings)

    assert "$0.40 an hour on t4-small" in warnings
    assert "$1.40 at the most" in warnings


def test_only_the_keys_of_requested_trackers_are_sent():
    """The keys of a requested tracker, and no other."""
    assert ["HF_TOKEN"] == planned().native["secrets"]
    assert ["HF_TOKEN", "WANDB_API_KEY", "WANDB_PROJECT"] == planned({"report_to": ["wandb"]}).native["secrets"]


@pytest.mark.parametrize("tracker", ["tensorboard", "trackio"])
def test_trackers_whose_files_would_be_lost(tracker):
    """Their files would stay in the container, so they are refused."""
    assert "would stay in the container" in refused({"report_to": [tracker]})["report_to"]


def test_rows_in_an_object_store():
    """A Job has neither the client nor the keys."""
    assert "neither the client nor the keys" in refused({"dataset": "s3://bucket/rows.jsonl"})["dataset.path"]


def test_accelerators_of_another_type_are_no_cards():
    """Only machines with GPUs run the PyTorch of our lock file."""
    hardware = SimpleNamespace(
        name="inf2",
        pretty_name="Inferentia",
        ram="16 GB",
        accelerator=SimpleNamespace(type="neuron", quantity="1", vram="32 GB"),
        unit_cost_micro_usd=100,
        unit_label="minute",
    )
    hub = SimpleNamespace(ask=lambda call, _: call(), api=SimpleNamespace(list_jobs_hardware=lambda: [hardware]))

    assert [0] == [flavor.cards for flavor in flavors(hub)]


def test_no_machine_at_all():
    """Without machines there is no plan."""
    hub = SimpleNamespace(ask=lambda call, _: call(), api=SimpleNamespace(list_jobs_hardware=list))

    with pytest.raises(UnreachableError, match="lists no machine"):
        flavors(hub)


def test_a_missing_key_of_a_tracker():
    """Else the job would fail on a machine that is paid for."""
    assert "WANDB_API_KEY" in refused({"report_to": ["wandb"]}, variables=frozenset({"HF_TOKEN"}))["report_to"]


def test_files_of_this_machine_are_uploaded(tiny_model, tmp_path):
    """Model folder, rows and template have their places in the container, and the plan lists the uploads."""
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages }}")
    dataset = {"path": "/data/rows.jsonl", "chat_template": str(template)}
    plan = planned({"model": str(tiny_model), "dataset": dataset}, pins={})
    settings, files = plan.native["settings"], plan.native["files"]

    assert {"/data/rows.jsonl", str(template), str(tiny_model)} == set(files.values())
    for path in (settings["model"]["name"], *settings["data"]["dataset"]["path"]):
        assert path.removeprefix("/ftsdk/job/") in files


def test_a_relative_folder_is_uploaded_under_its_name(tiny_model, tmp_path, monkeypatch):
    """A relative path is uploaded under the folder's own name."""
    (tmp_path / "mine" / "sub").mkdir(parents=True)
    (tmp_path / "mine" / "config.json").write_text(json.dumps(LLAMA_3_8B))
    monkeypatch.chdir(tmp_path / "mine" / "sub")

    assert any(place.endswith("/mine") for place in planned({"model": ".."}, pins={}).native["files"])


def test_files_that_are_no_part_of_a_model_are_not_uploaded(tmp_path):
    """Files of git and of the Hub's client beside a model are not uploaded: the Hub rejects both."""
    for name in ("config.json", ".git/HEAD", ".cache/huggingface/x.metadata"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")

    assert ["files/0/m/config.json"] == [operation.path_in_repo for operation in operations_of({"files/0/m": tmp_path})]


def test_a_reward_function_is_uploaded(tmp_path, monkeypatch):
    """As the one file of its module; a part of a package is refused, for the rest would be missing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rewards.py").write_text("def length(**_): return []\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "rewards.py").write_text("def length(**_): return []\n")
    method = {"type": "grpo", "reward": "rewards:length"}
    native = planned({"method": method}).native

    assert ("/ftsdk/job/files/reward", str(tmp_path / "rewards.py")) == (
        native["settings"]["reward"]["path"],
        native["files"]["files/reward/rewards.py"],
    )
    assert "method.reward" in refused({"method": {**method, "reward": "pack.rewards:length"}})
