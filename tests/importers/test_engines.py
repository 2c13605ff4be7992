"""Every key that the real tools know is in our tables, with the default that they have; read in their own Python."""

import json
import subprocess

import pytest
import yaml

from ftsdk.engines.environment import build
from ftsdk.workers.environment import runner_environment
from ftsdk.workers.hardware import Machine
from ftsdk_axolotl.importer import keys as axolotl
from ftsdk_axolotl.importer.defaults import DEFAULTS as DEFAULTS_OF_AXOLOTL
from ftsdk_llamafactory import translate
from ftsdk_llamafactory.engine import ENGINE_ENVIRONMENT, LlamaFactoryOptions
from ftsdk_llamafactory.importer import keys as factory
from ftsdk_llamafactory.importer.defaults import DEFAULTS

pytestmark = pytest.mark.foreign_engine

FILE = """
model_name_or_path: org/base
stage: sft
do_train: true
finetuning_type: lora
lora_target: q_proj,v_proj
quantization_bit: 4
dataset: chat
output_dir: out
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
warmup_ratio: 0.1
lr_scheduler_type: cosine
weight_decay: 0.01
use_cpu: true
"""

_FACTORY = """
import dataclasses, enum, json
from llamafactory.hparams.parser import _TRAIN_ARGS
def plain(field):
    value = field.default
    value = value.value if isinstance(value, enum.Enum) else value
    return value if isinstance(value, (str, int, float)) else None
fields = {f.name: plain(f) for kind in _TRAIN_ARGS for f in dataclasses.fields(kind) if f.init}
print(json.dumps(fields))
"""
_RESOLVE = """
import json, yaml
from llamafactory.hparams import get_train_args
def resolve(path):
    parts = get_train_args(yaml.safe_load(open(path)))
    return {name: value for part in parts for name, value in vars(part).items()}
print(json.dumps([resolve(path) for path in ("original.yaml", "converted.yaml")], default=str))
"""
_AXOLOTL = """
import json
from axolotl.utils.schemas.config import AxolotlInputConfig
from axolotl.utils.schemas import datasets
def names(kind):
    return sorted({n for name, field in kind.model_fields.items() for n in (name, field.alias) if n})
kinds = (datasets.SFTDataset, datasets.DPODataset, datasets.KTODataset, datasets.StepwiseSupervisedDataset)
own = (datasets.UserDefinedPrompterType, datasets.UserDefinedDPOType, datasets.UserDefinedKTOType)
defaults = {name: field.default for name, field in AxolotlInputConfig.model_fields.items()}
defaults = {name: value for name, value in defaults.items() if isinstance(value, (str, int, float))}
print(json.dumps([defaults, names(AxolotlInputConfig), *[sum(map(names, some), []) for some in (kinds, own)]]))
"""


def read_from_engine(python, program, folder):
    """The last line that a program prints in an engine's own Python, as JSON."""
    process = subprocess.run(
        [python, "-c", program], env=runner_environment(python, (), {}), cwd=folder, capture_output=True, check=True
    )
    return json.loads(process.stdout.splitlines()[-1])


def test_llamafactory_s_keys(tmp_path):
    """Each field of its argument classes is in our tables, and its defaults are those that we write down."""
    build(ENGINE_ENVIRONMENT, print)
    (tmp_path / "torchaudio.py").touch()  # imported, and not used
    fields = read_from_engine(ENGINE_ENVIRONMENT.interpreter, _FACTORY, tmp_path)
    defaults = {key: value for key, value in DEFAULTS.items() if fields[key] is not None}

    assert [] == [name for name in fields if name not in factory.KEYS]
    assert defaults == {key: fields[key] for key in defaults}


_EXPRESSED_OTHERWISE = {
    *("dataset", "dataset_dir", "eval_dataset", "val_size", "template", "tokenized_path", "train_on_prompt"),
    *("data_seed", "optim", "warmup_ratio", "save_total_limit"),
}
"""Rows come as tokens, a fused AdamW computes the same, one key says the warm-up, and two checkpoints are kept."""


def test_llamafactory_reads_both_the_same(import_text, tmp_path):
    """LLaMA-Factory resolves a user's file, and the YAML that is made of it by way of a spec, to the same settings."""
    build(ENGINE_ENVIRONMENT, print)
    (tmp_path / "torchaudio.py").touch()
    spec = import_text(FILE).spec
    machine = Machine("cpu", "CPU", 16 * 2**30, visible="")
    plan = translate.plan(spec, LlamaFactoryOptions(), machine, "0.9.5")
    (tmp_path / "converted.yaml").write_text(yaml.safe_dump(dict(plan.native["config"])))
    original, rewritten = read_from_engine(ENGINE_ENVIRONMENT.interpreter, _RESOLVE, tmp_path)
    compared = factory.MAPPED.keys() - _EXPRESSED_OTHERWISE

    assert {key: original[key] for key in compared} == {key: rewritten[key] for key in compared}


def test_axolotl_s_keys(tmp_path):
    """Each field of its schema is in our tables, and its defaults are those that we write down."""
    engine = pytest.importorskip("ftsdk_axolotl.engine")
    build(engine.ENGINE_ENVIRONMENT, print)
    defaults, fields, rows, user_types = read_from_engine(engine.ENGINE_ENVIRONMENT.interpreter, _AXOLOTL, tmp_path)

    assert [] == [name for name in fields if name not in axolotl.KEYS]
    assert {key: value for key, value in DEFAULTS_OF_AXOLOTL.items() if key in defaults} == {
        key: value for key, value in defaults.items() if key in DEFAULTS_OF_AXOLOTL
    }
    assert [] == [name for name in rows if name not in axolotl.DATASET]
    assert [] == [name for name in user_types if name not in axolotl.INSTRUCT]
