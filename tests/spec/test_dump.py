"""A spec that is written down is read back as it was."""

import tempfile
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ftsdk import JobSpec
from ftsdk.redact import looks_like_a_secret
from ftsdk.spec.loader import dump_spec, load_spec

POSITIVE = st.floats(1e-6, 1e6)
COUNT = st.integers(1, 10**6)
TEXT = st.text(min_size=1).filter(lambda text: not looks_like_a_secret(text))
METHODS = st.one_of(
    st.sampled_from(["sft", "dpo", "kto", "orpo", "reward_modeling"]),
    st.fixed_dictionaries({"type": st.just("dpo")}, optional={"beta": POSITIVE, "loss_type": st.just("ipo")}),
    st.fixed_dictionaries(
        {"type": st.just("ppo"), "reward": TEXT}, optional={"kl_coef": POSITIVE, "target_kl": POSITIVE}
    ),
    st.fixed_dictionaries({"train_on": st.sampled_from(["assistant", "completion", "all"])}),
)
ADAPTERS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "r": st.integers(1, 1024),
        "alpha": POSITIVE,
        "target_modules": st.just("all-linear") | st.lists(TEXT, min_size=1),
    },
)
TRAINING = st.fixed_dictionaries(
    {},
    optional={
        "num_train_epochs": POSITIVE,
        "learning_rate": st.floats(1e-9, 1),
        "warmup_steps": COUNT,
        "packing": st.booleans(),
        "max_length": st.integers(2, 10**6),
        "early_stopping_patience": st.none() | COUNT,
    },
)
COMPUTE = st.fixed_dictionaries(
    {},
    optional={
        "quantization": st.sampled_from(["nf4", "fp4", "int8", None]),
        "memory_limit": st.sampled_from(["24GiB", "800MB", 2**30]),
        "timeout": st.sampled_from(["90m", "12h", 60]),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
SPECS = st.fixed_dictionaries(
    {"model": TEXT, "dataset": TEXT | st.lists(TEXT, min_size=1)},
    optional={
        "val_size": st.floats(0, 0.9),
        "method": METHODS,
        "adapter": ADAPTERS,
        "training": TRAINING,
        "compute": COMPUTE,
        "metadata": st.dictionaries(TEXT, st.text(), max_size=3),
        "report_to": st.lists(st.sampled_from(["wandb", "mlflow"])),
        "backend_options": st.dictionaries(TEXT, st.dictionaries(TEXT, JSON, max_size=3), max_size=2),
    },
)


@given(SPECS)
def test_a_spec_survives_its_file(fields):
    """Any valid spec, written as YAML and loaded again, is equal to what it was, set fields included."""
    try:
        spec = JobSpec.model_validate(fields)
    except ValidationError:
        assume(False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.yaml")
        path.write_text(dump_spec(spec), encoding="utf-8", newline="")
        loaded = load_spec(path)

    assert (spec, spec.as_written()) == (loaded, loaded.as_written())


def test_a_written_spec_is_short():
    """Only what the user set is written, in the order of the fields."""
    spec = JobSpec(model="m", dataset="d.jsonl", compute={"quantization": "nf4"}, method="sft")

    assert dump_spec(spec) == (
        "model: m\ndataset:\n  path: d.jsonl\nmethod:\n  type: sft\ncompute:\n  quantization: nf4\n"
    )
