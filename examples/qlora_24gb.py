"""QLoRA of Llama-3-8B on Alpaca-shaped rows, on one card of 24 GB.

    python examples/qlora_24gb.py rows.jsonl [MODEL] [OUT]

``rows.jsonl`` holds ``{"instruction": ..., "input": ..., "output": ...}``. The model is gated: ask for access on its
page and set HF_TOKEN. Memory at the peak, as forecast by ``ftsdk.estimate`` for micro-batches of 1,024 tokens with
gradient checkpointing (not measured on a card):

    base in nf4, embeddings and head in bf16    5.3 GiB
    LoRA r 16, gradients, Adam                  0.6 GiB (float32)
    activations: one input for each layer       0.3 GiB
    logits, 1,024 rows at a time                1.0 GiB
    CUDA context and fragmentation              0.8 GiB
    in all                                      8.0 GiB

so the engine takes larger micro-batches, and drops checkpointing, as far as 24 GB allow.
"""

import sys

import ftsdk

MODEL = "meta-llama/Meta-Llama-3-8B"


def job_spec(rows: str, model: str = MODEL) -> ftsdk.JobSpec:
    """The settings of the QLoRA paper's family (arXiv 2305.14314): nf4, double quantization, all linear layers."""
    return ftsdk.JobSpec(
        model=model,
        dataset=ftsdk.Dataset(path=rows, format="alpaca"),
        val_size=0.02,
        method=ftsdk.SFT(train_on="assistant"),
        adapter=ftsdk.LoRA(r=16, alpha=32, dropout=0.05),
        training=ftsdk.Training(
            num_train_epochs=1,
            learning_rate=2e-4,
            lr_scheduler_type="cosine",
            global_batch_size=16,
            max_length=1024,
        ),
        compute=ftsdk.Compute(quantization="nf4", memory_limit="24GB"),
        name="llama-3-8b alpaca",
    )


def main(rows: str, model: str = MODEL, out: str = "out") -> ftsdk.Artifact:
    """Submit, follow, fetch."""
    job = ftsdk.submit(job_spec(rows, model))
    print(f"{job}: it goes on without this program; come back with `ftsdk logs -f {job}`")
    print(job.wait(on_event=lambda event: print(event.step, dict(event.metrics)) if event.metrics else None))
    return job.fetch(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
