"""PPO from what other jobs have made: it starts from an SFT adapter, and is rewarded by a reward model."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_models import metrics_of
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ftsdk.errors import UnsupportedSpec
from ftsdk.workers.outcome import WorkerError

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]


def question(number):
    return [{"role": "user", "content": f"What is {number} plus 1?"}]


@pytest.fixture
def pairs_file(tmp_path):
    """A pirate's answer is better than a plain one."""
    rows = [
        {
            "prompt": question(number),
            "chosen": [{"role": "assistant", "content": f"Arr, it be {number + 1}, matey!"}],
            "rejected": [{"role": "assistant", "content": f"It is {number + 1}."}],
        }
        for number in range(24)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def reward_folder(make_spec, train, pairs_file):
    """What a short job of reward modeling has made."""
    spec = make_spec(
        dataset=str(pairs_file),
        method={"type": "reward_modeling"},
        training={"max_steps": 6, "learning_rate": 2e-3, "max_length": 64},
    )
    return train(spec, "reward").artifact


@pytest.fixture
def ppo(make_spec, tmp_path):
    """PPO on short questions, with changes to its sections."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": question(number)}) + "\n" for number in range(16)))

    def spec(reward, **changes):
        return make_spec(
            dataset=str(path),
            method={"type": "ppo", "reward": str(reward), "max_new_tokens": 12},
            training={"max_steps": 2, "global_batch_size": 8, "learning_rate": 1e-3, "max_length": 64, "save_steps": 1},
            **changes,
        )

    return spec


def plain_scores(folder, base, tokenizer, samples):
    """The scores that plain Transformers and PEFT give to some samples."""
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=1, pad_token_id=tokenizer.pad_token_id, dtype=torch.float32
    )
    model = PeftModel.from_pretrained(model, str(folder)).eval()
    scores = []
    for sample in samples:
        prompt = tokenizer.apply_chat_template(sample["prompt"], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt + sample["completion"] + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            scores.append(model(torch.tensor([ids])).logits.item())
    return scores


def samples_of(folder):
    return [json.loads(line) for line in (folder.artifact / "samples.jsonl").read_text().splitlines()]


def test_a_reward_model_scores_on_the_policys_base(ppo, train, reward_folder, tiny_model):
    """As an adapter on the shared base it gives the scores that plain Transformers and PEFT give."""
    folder = train(ppo(reward_folder, compute={"quantization": None}))

    tokenizer = AutoTokenizer.from_pretrained(reward_folder)
    complete = [sample for sample in samples_of(folder) if "Arr" in sample["completion"] or "." in sample["completion"]]
    expected = plain_scores(reward_folder, tiny_model, tokenizer, complete)
    assert complete
    assert [sample["reward"] for sample in complete] == pytest.approx(expected, abs=1e-4)


def test_on_another_base_it_is_loaded_on_its_own(ppo, train, reward_folder, tiny_model, tmp_path):
    """A reward model of a base that lies elsewhere scores the same, with a model of its own in memory."""
    shared = train(ppo(reward_folder), "shared")
    config = reward_folder / "adapter_config.json"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(tiny_model)
    config.write_text(config.read_text().replace(str(tiny_model), str(elsewhere)))

    separate = train(ppo(reward_folder), "own")

    assert metrics_of(separate, "reward") == pytest.approx(metrics_of(shared, "reward"), abs=1e-4)


def test_a_reward_model_of_another_tokenizer_is_refused(ppo, train, reward_folder):
    """Its scores would mean nothing, so it is refused before any model is loaded."""
    tokenizer = AutoTokenizer.from_pretrained(reward_folder)
    tokenizer.add_tokens(["a-new-word"])
    tokenizer.save_pretrained(reward_folder)

    with pytest.raises(WorkerError, match="has another tokenizer than the policy"):
        train(ppo(reward_folder))


def test_a_head_of_two_scores_is_refused(ppo, train, reward_folder):
    """A classifier of two classes is no reward model."""
    path = reward_folder / "adapter_model.safetensors"
    weights = load_file(path)
    key = next(name for name in weights if name.endswith("score.weight"))
    save_file({**weights, key: weights[key].repeat(2, 1)}, path)

    with pytest.raises(WorkerError, match="no score head of one output"):
        train(ppo(reward_folder))


def test_a_model_that_writes_is_no_reward(ppo, train, make_spec):
    """An SFT artifact given as the reward is refused by the plan."""
    sft = train(make_spec(training={"max_steps": 1}), "sft").artifact

    with pytest.raises(UnsupportedSpec, match="it gives no scores"):
        train(ppo(sft))


def test_it_starts_from_an_sft_adapter(ppo, train, make_spec):
    """The policy begins as the adapter, and so does the reference: the first KL is exactly 0, then it moves."""
    sft = train(make_spec(training={"max_steps": 3}), "sft").artifact
    before = load_file(sft / "adapter_model.safetensors")

    folder = train(ppo("toy_rewards:longer", model=str(sft)))

    after = load_file(folder.artifact / "adapter_model.safetensors")
    assert metrics_of(folder, "kl")[0] == 0.0
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert max((before[name] - after[name]).abs().max() for name in before) < 0.1


def test_the_base_is_known_from_the_adapter(ppo, train, make_spec, tiny_model):
    """The artifact of PPO from SFT names the base that both share, and loads on it."""
    sft = train(make_spec(training={"max_steps": 1}), "sft").artifact

    folder = train(ppo("toy_rewards:longer", model=str(sft)))

    config = json.loads((folder.artifact / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model)
