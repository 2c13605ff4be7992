"""Whatever a file contains, it becomes a spec or a SpecError."""

import contextlib
import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ftsdk
from ftsdk.importers.convert import load_importer
from ftsdk.plugins import IMPORTERS, plugin_names

VALUES = st.recursive(
    st.sampled_from(
        [None, True, False, 0, 1, 4, -1, 0.5, 2.0, "", "no", "2e-4", "lora", "chat", "auto", "x,y", [], {}]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["path", "type", "beta"]), inner),
    max_leaves=4,
)
BASES = {
    "axolotl": {
        "base_model": "org/base",
        "learning_rate": 1e-4,
        "datasets": [{"path": "rows.jsonl", "type": "chat_template"}],
    },
    "llamafactory": {"model_name_or_path": "org/base", "do_train": True, "dataset": "chat"},
}
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)


@pytest.mark.parametrize("name", plugin_names(IMPORTERS))
@QUIET
@given(data=st.data())
def test_any_value_of_any_key(import_text, name, data):
    """Some keys with odd values: a spec, or a SpecError, and nothing else."""
    keys = sorted(load_importer(name).keys.mapped)
    odd = data.draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=4))

    with contextlib.suppress(ftsdk.SpecError):
        assert import_text(yaml.safe_dump(BASES[name] | odd), source=name).spec


@QUIET
@given(data=st.data())
def test_any_dataset_of_axolotl(import_text, data):
    """An entry of datasets with odd values, of each method."""
    from ftsdk_axolotl.importer.keys import DATASET

    entry = data.draw(st.dictionaries(st.sampled_from(sorted(DATASET.mapped)), VALUES, max_size=4))
    method = data.draw(st.sampled_from([{}, {"rl": "dpo"}, {"rl": "kto"}, {"rl": "orpo"}, {"reward_model": True}]))

    with contextlib.suppress(ftsdk.SpecError):
        assert import_text(yaml.safe_dump(BASES["axolotl"] | method | {"datasets": [{"path": "r.jsonl"} | entry]})).spec


@QUIET
@given(data=st.data())
def test_any_dataset_of_llamafactory(import_text, tmp_path, data):
    """An entry of dataset_info.json with odd values, in each stage."""
    from ftsdk_llamafactory.importer.keys import DATASET

    entry = data.draw(st.dictionaries(st.sampled_from(sorted(DATASET.mapped)), VALUES, max_size=4))
    stage = data.draw(st.sampled_from(["sft", "dpo", "kto", "rm", "pt"]))
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps({"chat": {"file_name": "r.json"} | entry}))

    with contextlib.suppress(ftsdk.SpecError):
        assert import_text(yaml.safe_dump(BASES["llamafactory"] | {"stage": stage})).spec
