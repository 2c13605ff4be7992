"""Every key that the real tools know is in our tables, with the default that they have; read in their own Python."""

import json
import subprocess

import pytest

from ftsdk.kit.environment import guest_environment
from ftsdk.kit.house import build
from ftsdk_axolotl.imports import keys as axolotl
from ftsdk_axolotl.imports.settings import DEFAULTS as DEFAULTS_OF_AXOLOTL
from ftsdk_llamafactory.imports import keys as factory
from ftsdk_llamafactory.imports.settings import DEFAULTS
from ftsdk_llamafactory.installation import HOUSE

pytestmark = pytest.mark.guest

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


def asked(python, program, folder):
    """What a program prints last in an engine's own Python."""
    done = subprocess.run(
        [python, "-c", program], env=guest_environment(python, (), {}), cwd=folder, capture_output=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_llamafactory_s_keys(tmp_path):
    """Each field of its argument classes has a fate here, and its defaults are those that we write down."""
    build(HOUSE, print)
    (tmp_path / "torchaudio.py").touch()  # imported, and not used
    fields = asked(HOUSE.interpreter, _FACTORY, tmp_path)
    given = {key: value for key, value in DEFAULTS.items() if fields[key] is not None}

    assert [] == [name for name in fields if name not in factory.KEYS]
    assert given == {key: fields[key] for key in given}


def test_axolotl_s_keys(tmp_path):
    """Each field of its schema has a fate here, and its defaults are those that we write down."""
    installation = pytest.importorskip("ftsdk_axolotl.installation")
    build(installation.HOUSE, print)
    defaults, fields, rows, own = asked(installation.HOUSE.interpreter, _AXOLOTL, tmp_path)

    assert [] == [name for name in fields if name not in axolotl.KEYS]
    assert {key: value for key, value in DEFAULTS_OF_AXOLOTL.items() if key in defaults} == {
        key: value for key, value in defaults.items() if key in DEFAULTS_OF_AXOLOTL
    }
    assert [] == [name for name in rows if name not in axolotl.DATASET]
    assert [] == [name for name in own if name not in axolotl.INSTRUCT]
