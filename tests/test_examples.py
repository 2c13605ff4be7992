"""The examples run as they stand."""

import json

import pytest
from model_configs import LLAMA_3_8B

import ftsdk
from ftsdk.workers.hardware import Machine
from ftsdk_local import translate

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]


@pytest.fixture
def alpaca_rows(tmp_path):
    """Alpaca-shaped rows."""
    path = tmp_path / "rows.jsonl"
    rows = [
        {"instruction": f"What is {a} plus {b}?", "input": "", "output": f"It is {a + b}."}
        for a in range(8)
        for b in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_quickstart(example, tmp_path):
    """From spec to artifact in one program: the tiny model has learned the new manner."""
    artifact = example("quickstart").main(tmp_path)

    [answer] = artifact.generate(["What is 3 plus 4?"])
    assert answer.startswith("Arr")


def test_qlora_24gb(example, alpaca_rows, tiny_model, tmp_path):
    """The example for a card of 24 GB runs unchanged but for the model's name."""
    artifact = example("qlora_24gb").main(str(alpaca_rows), str(tiny_model), str(tmp_path / "out"))

    assert artifact.manifest.metrics["eval_loss"] < artifact.manifest.metrics["eval_loss_before"]


def test_qlora_24gb_forecast(example, alpaca_rows, tmp_path):
    """The memory budget in the example's docstring is the forecast for that shape."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B))
    module = example("qlora_24gb")
    card = Machine("cuda-0", "a card", 24 * 10**9, visible="0")

    memory = translate.plan(module.job_spec(str(alpaca_rows), str(tmp_path)), card).memory

    assert f"{memory.total / 2**30:.1f} GiB" in module.__doc__


@pytest.mark.foreign_engine
def test_unsloth_alpaca(example, alpaca_rows, tiny_model, tmp_path):
    """Llama 3 on Alpaca with Unsloth runs unchanged but for the model's name: it learns, and its adapter is fetched."""
    artifact = example("unsloth_alpaca").main(str(alpaca_rows), str(tiny_model), str(tmp_path / "out"))

    losses = [json.loads(line)["loss"] for line in (artifact.path / "metrics.jsonl").read_text().splitlines()]
    assert ("adapter", True) == (artifact.kind, losses[-1] < losses[0])


def test_switch_backend(example, tiny_model, alpaca_rows, tmp_path):
    """The spec that Together takes runs here, too (tests/together holds the other half)."""
    artifact = example("switch_backend").main(str(alpaca_rows), "local", str(tiny_model), str(tmp_path / "out"))

    assert ("adapter", "sft") == (artifact.kind, artifact.manifest.method)


@pytest.mark.slow
def test_rlhf(example, tmp_path):
    """SFT, reward model and PPO in a chain: PPO answers held-out questions as the reward model likes it."""
    artifact = example("rlhf").main(out=str(tmp_path))

    metrics = artifact.manifest.metrics
    assert metrics["eval_reward"] > metrics["eval_reward_before"] + 0.5


def test_public_names_only(root):
    """Examples use what users may use."""
    source = "".join(path.read_text() for path in (root / "examples").glob("*.py"))

    used = {line.split()[1] for line in source.splitlines() if line.startswith(("import ftsdk", "from ftsdk"))}
    assert used == {ftsdk.__name__}
