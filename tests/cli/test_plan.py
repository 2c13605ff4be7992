"""The plan as people and programs see it; nothing is submitted."""

import json

import pytest
from model_configs import LLAMA_3_8B


def test_a_plan_accounts_for_every_field(cli, write_spec):
    """Native names, ignored advice with the reason, rows, price and the request are on the page."""
    page = cli("plan", write_spec(price=1.5), "compute.attention=sdpa", "training.learning_rate=1e-4").stdout

    for part in ("n_epochs", "lora_rank", "compute.attention", "no attention kernels", "$1.50", "rows", '"parameters"'):
        assert part in page


def test_a_plan_submits_nothing(cli, write_spec):
    """After a plan there is no job."""
    cli("plan", write_spec())

    assert [] == json.loads(cli("jobs", "--json").stdout)


def test_a_refused_field_is_named(cli, write_spec):
    """A spec that the backend cannot honour is exit code 1, with the field and the reason."""
    result = cli("plan", write_spec(), "training.quantization_aware=int8", "--json")

    problems = json.loads(result.stdout)["problems"]
    assert (1, ["training.quantization_aware"]) == (result.exit_code, [problem["where"] for problem in problems])


def test_the_memory_forecast_is_summed_up(cli, write_spec, monkeypatch):
    """Parts and total of the memory forecast are shown, in units that people read."""
    import ftsdk
    from ftsdk.forecast import MemoryForecast

    parts = dict.fromkeys(MemoryForecast.model_fields, 0) | {"weights": 2**30, "adapter": 2**20}
    forecast = MemoryForecast.model_validate(parts)
    plan = ftsdk.plan(write_spec()).model_copy(update={"memory": forecast, "command": "fake run job.json"})
    monkeypatch.setattr("ftsdk.plan", lambda spec, **options: plan)

    page, document = cli("plan", write_spec()).stdout, json.loads(cli("plan", write_spec(), "--json").stdout)

    assert "1.0 GiB" in page
    assert "fake run job.json" in page
    assert 2**30 + 2**20 == document["memory"]["total"]


@pytest.fixture
def llama_8b(tmp_path, write_spec):
    """A job for the local backend, on the configuration of Llama-3-8B."""
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text(json.dumps(LLAMA_3_8B))
    return write_spec(fields={"model": "llama", "backend": "local", "backend_options": {}})


CARD = """\
On a card of 16.0 GiB
total       17.6 GiB
fits        no
largest     0 rows at a time, or one row of 0 tokens
with        compute.quantization=nf4: 8.0 GiB
"""


def test_a_card_that_is_too_small(cli, llama_8b):
    """The page ends with whether it fits and what to change; the document has the same."""
    page, document = cli("plan", llama_8b, "--memory", "16GiB"), cli("plan", llama_8b, "--memory", "16GiB", "--json")

    end = page.stdout[page.stdout.index("On a card") :]
    card = json.loads(document.stdout)["card"]
    assert CARD.splitlines() == [line.rstrip() for line in end.splitlines()]
    assert (False, 16 * 2**30) == (card["fits"], card["limit"])
    assert {"compute.quantization": "nf4"} == card["changes"][0]["settings"]


def test_a_memory_that_is_not_known(cli, llama_8b, tmp_path):
    """Where a model's weights cannot be counted, the plan says why."""
    (tmp_path / "llama" / "config.json").write_text(json.dumps({**LLAMA_3_8B, "model_type": "mamba"}))

    assert "not known: how many weights a model of the type 'mamba' has" in cli("plan", llama_8b).stdout


def test_all_backends_side_by_side(cli, llama_8b):
    """A row for each backend: one that cannot run it shows the reason, and the exit code is 0."""
    page, document = cli("plan", llama_8b, "--all-backends"), cli("plan", llama_8b, "--all-backends", "--json")

    estimates = {estimate["backend"]: estimate for estimate in json.loads(document.stdout)}
    assert (0, True, 0.0) == (page.exit_code, estimates["local"]["can"], estimates["local"]["price"])
    assert "HF_HUB_OFFLINE is set" in estimates["hfjobs"]["why_not"]
    assert "Together trains its own models" in estimates["together"]["why_not"]
    assert estimates["local"]["seconds"] is None
    for name in estimates:
        assert name in page.stdout


def test_all_backends_goes_alone(cli, llama_8b):
    """An option about one backend contradicts it."""
    result = cli("plan", llama_8b, "--all-backends", "--backend", "local")

    assert (2, True) == (result.exit_code, "cannot be combined with other options" in result.stderr)
