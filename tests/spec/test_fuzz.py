"""Whatever is loaded, it is a spec or a SpecError; no other error escapes."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftsdk.errors import SpecError
from ftsdk.spec.aliases import AMBIGUOUS_ALIASES, FIELDS, FLAT_FIELDS, OTHER_SECTIONS, RENAMED, VALUE_ALIASES
from ftsdk.spec.loader import load_spec

KEYS = st.sampled_from(
    sorted({*FIELDS, *RENAMED, *VALUE_ALIASES, *AMBIGUOUS_ALIASES, *FLAT_FIELDS, *OTHER_SECTIONS})
) | st.text(max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**500), 10**500)
    | st.floats()
    | st.text()
    | st.binary(max_size=8)
    | st.dates()
    | st.sampled_from(
        ["none", "lora", "qlora", "dpo", "ppo", "nf4", "auto", "24GiB", "9" * 99 + "GB", "1e999", "\ud800"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | SCALARS, inner, max_size=4),
    max_leaves=8,
)
SPEC = b"""model: org/name
dataset: {path: [a.jsonl, "b.jsonl"], columns: {prompt: question}}
method: {type: dpo, beta: 0.1}
adapter:
  r: 16
  target_modules: all-linear
training:
  learning_rate: 2e-4   # a comment
  packing: true
compute: {memory_limit: 24GiB, timeout: 12h, quantization: nf4}
metadata: {team: 'blue', "note": null}
"""


@given(st.dictionaries(KEYS | SCALARS, VALUES, max_size=8))
def test_any_mapping_is_a_spec_or_a_spec_error(data):
    """Real keys with senseless values, senseless keys, and nests of both raise nothing but SpecError."""
    with contextlib.suppress(SpecError):
        load_spec({"model": "m", "dataset": "d", **data})


@given(st.lists(st.text() | st.builds("{}={}".format, KEYS, st.text() | SCALARS), max_size=4))
def test_any_override_is_taken_or_a_spec_error(overrides):
    """Overrides of any shape raise nothing but SpecError."""
    with contextlib.suppress(SpecError):
        load_spec({"model": "m", "dataset": "d"}, overrides)


@pytest.mark.parametrize("suffix", ["yaml", "toml", "json"])
@given(cuts=st.lists(st.tuples(st.integers(0, len(SPEC)), st.integers(0, 8), st.binary(max_size=6)), max_size=6))
def test_any_file_is_a_spec_or_a_spec_error(suffix, cuts):
    """A spec file with bytes removed and inserted, read as any format, raises nothing but SpecError."""
    text = SPEC
    for start, length, put in cuts:
        text = text[:start] + put + text[start + length :]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(SpecError):
        path = Path(folder, f"job.{suffix}")
        path.write_bytes(text)
        load_spec(path)
