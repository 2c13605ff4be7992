"""The plan as people and programs see it; nothing is submitted."""

import json


def test_a_plan_tells_what_becomes_of_every_field(cli, write_spec):
    """Native names, advice that is set aside with the reason, rows, price and the request are on the page."""
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

    forecast = MemoryForecast(weights=2**30, adapter=2**20, activations=0, logits=0, overhead=0)
    plan = ftsdk.plan(write_spec()).model_copy(update={"memory": forecast, "command": "fake run job.json"})
    monkeypatch.setattr("ftsdk.plan", lambda spec, **how: plan)

    page, told = cli("plan", write_spec()).stdout, json.loads(cli("plan", write_spec(), "--json").stdout)

    assert "1.0 GiB" in page
    assert "fake run job.json" in page
    assert 2**30 + 2**20 == told["memory"]["total"]
