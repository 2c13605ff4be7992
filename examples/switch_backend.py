"""One spec on this machine's card, or in Together AI's cloud: the file and the calls are the same, the name differs.

    python examples/switch_backend.py rows.jsonl local
    python examples/switch_backend.py rows.jsonl together [MODEL] [OUT]

``rows.jsonl`` holds ``{"messages": [...]}``. The model must be one that both can train. Together needs
TOGETHER_API_KEY, and money: nothing is created that it estimates above ``price_limit``.
"""

import sys

import ftsdk

MODEL = "Qwen/Qwen3-8B"


def job_spec(rows: str, model: str = MODEL) -> ftsdk.JobSpec:
    """What is learned; not where."""
    return ftsdk.JobSpec(
        model=model,
        dataset=rows,
        val_size=0.05,
        method=ftsdk.SFT(train_on="assistant"),
        adapter=ftsdk.LoRA(r=16, alpha=32),
        training=ftsdk.Training(num_train_epochs=3, learning_rate=2e-4, global_batch_size=16, max_length=1024),
        compute=ftsdk.Compute(quantization="nf4"),  # for the card; Together ignores it, and the plan notes that
        backend_options={"together": {"price_limit": 20.0}},
    )


def main(rows: str, backend: str, model: str = MODEL, out: str = "out") -> ftsdk.Artifact:
    """Plan, submit, wait, fetch."""
    spec = job_spec(rows, model)
    print(ftsdk.plan(spec, backend=backend))
    job = ftsdk.submit(spec, backend=backend)
    print(job.wait())
    artifact = job.fetch(out)
    print(artifact)
    return artifact


if __name__ == "__main__":
    main(*sys.argv[1:])
