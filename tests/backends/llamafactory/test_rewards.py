"""Reward models and PPO by the real LLaMA-Factory, each in its own environment; and KTO."""

import json

import pytest
import torch
from engine_jobs import metrics
from older_model import older_model
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import ftsdk
from ftsdk.data.row_labels import encode_pair
from ftsdk.engines.environment import build
from ftsdk.errors import JobFailed
from ftsdk.job_types import JobState, Reason
from ftsdk_llamafactory.engine import PPO_ENVIRONMENT

pytestmark = [
    pytest.mark.foreign_engine,
    pytest.mark.usefixtures("factory_python"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),  # peft asks by the old name
]

PAIRS = [{"prompt": f"What is {n}?", "chosen": "Arr matey!", "rejected": "It is a number."} for n in range(32)]
PROMPTS = [{"prompt": f"What is {n}?"} for n in range(16)]


@pytest.fixture(scope="session")
def ppo_python():
    """The Python of PPO's own environment."""
    build(PPO_ENVIRONMENT, print)
    return PPO_ENVIRONMENT.interpreter


@pytest.fixture
def base(tiny_model, tmp_path):
    """The tiny model as Transformers 4 wrote models, which PPO's environment reads, in float32."""
    folder = older_model(tiny_model, tmp_path / "base")
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor.float() for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": "float32"}))
    return folder


def ended(spec):
    job = ftsdk.submit(spec)
    job.wait(timeout=300)
    return job


def loss_of(model, tokenizer):
    """The Bradley-Terry loss over all pairs."""
    losses = []
    for row in PAIRS:
        scores = [model(torch.tensor([ids])).logits[0, 0] for ids, _ in encode_pair(row, tokenizer)]
        losses.append(-torch.nn.functional.logsigmoid(scores[0] - scores[1]))
    return torch.stack(losses).mean().item()


@pytest.mark.usefixtures("ppo_python")
def test_a_reward_model_and_ppo_after_it(factory_spec, base, tmp_path):
    """Its scores are those that LLaMA-Factory evaluated; PPO goes by it, there and on the local backend."""
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    spec = factory_spec(
        PAIRS, model=str(base), method="reward_modeling", eval_dataset=str(held_out), training={"num_train_epochs": 1}
    )
    reward = ended(spec)
    artifact = ftsdk.fetch(reward, tmp_path / "reward")
    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    scorer = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    with torch.no_grad():
        loss = loss_of(PeftModel.from_pretrained(scorer, artifact.path).eval(), tokenizer)
    method = {"type": "ppo", "reward": str(reward.ref), "max_new_tokens": 8}
    training = {"max_steps": 2, "global_batch_size": 8, "max_length": 64}
    policy = ended(factory_spec(PROMPTS, model=str(base), method=method, training=training))
    local_policy = ended(factory_spec(PROMPTS, model=str(base), method=method, training=training, backend="local"))

    assert pytest.approx(metrics(artifact, "eval_loss")[-1], abs=1e-4) == loss
    assert "adapter" == ftsdk.fetch(policy, tmp_path / "policy").kind
    assert all("reward" in job.status().metrics for job in (policy, local_policy))


def test_unpaired_answers(factory_spec, tmp_path):
    """KTO begins at a loss of a half, where policy and reference agree."""
    rows = [
        {"prompt": f"What is {n}?", "completion": "Arr!" if n % 2 else "A number.", "label": bool(n % 2)}
        for n in range(32)
    ]
    job = ended(factory_spec(rows, method="kto"))

    assert JobState.SUCCEEDED == job.status().state
    assert pytest.approx(0.5, abs=0.01) == metrics(ftsdk.fetch(job, tmp_path / "out"), "loss")[0]


@pytest.mark.usefixtures("ppo_python")
def test_too_few_prompts_are_an_error(factory_spec, base):
    """LLaMA-Factory leaves out what does not fill a step: with fewer prompts than that it would train on none."""
    method = {"type": "ppo", "reward": "org/scorer", "max_new_tokens": 8}
    with pytest.raises(JobFailed) as caught:
        ended(factory_spec(PROMPTS[:4], model=str(base), method=method))

    assert (Reason.DATA_ERROR.value, True) == (caught.value.reason, "takes 8 prompts" in caught.value.message)
