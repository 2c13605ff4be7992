"""Llama 3 on Alpaca with Unsloth, in an environment of its own that ftsdk makes at the first job.

    python examples/unsloth_alpaca.py rows.jsonl [MODEL] [OUT]

``rows.jsonl`` holds ``{"instruction": ..., "input": ..., "output": ...}``. The model is gated: ask for access on its
page and set HF_TOKEN. What Unsloth gets is in ``ftsdk.plan(spec).native["config"]``, and in the job's folder; the
same spec runs on the local engine with ``backend="local"``.
"""

import sys

import ftsdk

MODEL = "meta-llama/Meta-Llama-3-8B"


def job_spec(rows: str, model: str = MODEL) -> ftsdk.JobSpec:
    """QLoRA on all linear layers, as Unsloth's own notebooks have it, but with each value explicit."""
    return ftsdk.JobSpec(
        model=model,
        dataset=ftsdk.Dataset(path=rows, format="alpaca"),
        val_size=0.02,
        method=ftsdk.SFT(train_on="assistant"),
        adapter=ftsdk.LoRA(r=16, alpha=16),
        training=ftsdk.Training(
            num_train_epochs=1,
            learning_rate=2e-4,
            lr_scheduler_type="linear",
            warmup_steps=5,
            global_batch_size=8,
            max_length=1024,
        ),
        compute=ftsdk.Compute(quantization="nf4", gradient_checkpointing=True),
        name="llama-3-8b alpaca",
        backend="unsloth",
    )


def main(rows: str, model: str = MODEL, out: str = "out") -> ftsdk.Artifact:
    """Submit, follow, fetch."""
    job = ftsdk.submit(job_spec(rows, model))
    print(f"{job}: it goes on without this program; come back with `ftsdk logs -f {job}`")
    print(job.wait(on_event=lambda event: print(event.step, dict(event.metrics)) if event.metrics else None))
    return job.fetch(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
