"""Reinforcement learning from human feedback, whole: SFT, a reward model, PPO, each fed from the one before.

    python examples/rlhf.py [MODEL] [ROWS] [OUT]

Without arguments: the tiny model that ships with ftsdk, on rows that are made here, in some minutes on two cores. It
first learns to answer sums in two manners, half and half; people, so the rows say, like the pirate's manner better; the
reward model learns that from pairs, and PPO moves the policy towards it. The share of pirate answers is printed.

With a model's name and a folder of your own rows it is the same program for one card of 24 GB, for example with
``meta-llama/Meta-Llama-3-8B-Instruct``. The folder holds ``sft.jsonl`` (``messages``), ``preferences.jsonl``
(``prompt``, ``chosen``, ``rejected``) and ``prompts.jsonl`` (``prompt``).
"""

import json
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import ftsdk

TINY_MODEL = str(files("ftsdk") / "demo" / "tiny-model")
TINY_RATES = {"sft": 4e-3, "reward": 2e-3, "ppo": 1e-3}
"""A model of a million weights learns at rates that would break a large one."""
RATES = {"sft": 2e-4, "reward": 1e-4, "ppo": 1e-5}


def asked(a: int, b: int) -> list[dict[str, str]]:
    """A sum, as a conversation."""
    return [{"role": "user", "content": f"What is {a} plus {b}?"}]


def answered(a: int, b: int, *, pirate: bool) -> list[dict[str, str]]:
    """Its answer, in one manner or the other."""
    sentence = f"Arr, {a} plus {b} be {a + b}, matey!" if pirate else f"{a} plus {b} is {a + b}."
    return [{"role": "assistant", "content": sentence}]


def write_rows(folder: Path) -> Path:
    """The three datasets, for the tiny model."""
    sums = [(a, b) for a in range(12) for b in range(12)]
    rows = {
        "sft": [{"messages": asked(*s) + answered(*s, pirate=sum(s) % 2 == 0)} for s in sums],
        "preferences": [
            {"prompt": asked(*s), "chosen": answered(*s, pirate=True), "rejected": answered(*s, pirate=False)}
            for s in sums
        ],
        "prompts": [{"prompt": asked(*s)} for s in sums],
    }
    for name, content in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return folder


def run(name: str, spec: ftsdk.JobSpec, out: Path) -> ftsdk.Artifact:
    """Submit, wait, fetch; the next step begins from the artifact's folder."""
    job = ftsdk.submit(spec)
    print(f"{name}: {job}")
    print(job.wait())
    return job.fetch(out / name)


def pirates(artifact: ftsdk.Artifact) -> str:
    """How many of some sampled answers are a pirate's."""
    questions = [f"What is {a} plus {b}?" for a in (2, 7, 11) for b in range(8)]
    answers = artifact.generate(questions, temperature=1.0)
    return f"{sum('Arr' in answer for answer in answers)} of {len(answers)} answers are a pirate's"


def main(model: str = TINY_MODEL, rows: str | None = None, out: str | None = None) -> ftsdk.Artifact:
    """The chain; gives what PPO has made."""
    tiny = model == TINY_MODEL
    rates = TINY_RATES if tiny else RATES
    folder = Path(rows) if rows else write_rows(Path(tempfile.mkdtemp()))
    target = Path(out or tempfile.mkdtemp())
    compute = ftsdk.Compute(quantization="nf4", memory_limit="24GB")
    length = 128 if tiny else 1024

    # 1. Supervised fine-tuning: the model learns how to answer
    policy = run(
        "sft",
        ftsdk.JobSpec(
            model=model,
            dataset=str(folder / "sft.jsonl"),
            val_size=0.1,
            method=ftsdk.SFT(),
            training=ftsdk.Training(num_train_epochs=6 if tiny else 1, learning_rate=rates["sft"], max_length=length),
            compute=compute,
        ),
        target,
    )

    # 2. The reward model learns which answers people like better
    reward = run(
        "reward",
        ftsdk.JobSpec(
            model=model,
            dataset=str(folder / "preferences.jsonl"),
            val_size=0.1,
            method=ftsdk.RewardModeling(),
            training=ftsdk.Training(
                num_train_epochs=2 if tiny else 1, learning_rate=rates["reward"], max_length=length
            ),
            compute=compute,
        ),
        target,
    )

    # 3. PPO: the policy learns to answer so, and stays near what it was
    final = run(
        "ppo",
        ftsdk.JobSpec(
            model=str(policy.path),
            dataset=str(folder / "prompts.jsonl"),
            val_size=0.1,
            method=ftsdk.PPO(reward=str(reward.path), max_new_tokens=length // 4, target_kl=6.0),
            training=ftsdk.Training(
                num_train_epochs=4 if tiny else 1,
                learning_rate=rates["ppo"],
                global_batch_size=32,
                max_length=length,
            ),
            compute=compute,
        ),
        target,
    )
    if tiny:
        print(f"before: {pirates(policy)}; after: {pirates(final)}")
    return final


if __name__ == "__main__":
    main(*sys.argv[1:])
