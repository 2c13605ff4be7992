"""A secret that was pasted in the wrong place is nowhere in the error."""

import json
import pickle

import pytest

from ftsdk.errors import SpecError
from ftsdk.spec.loader import load_spec

CANARIES = (
    "hf_" + "CanaryCanaryCanaryCanary",
    "sk-" + "canary0123456789canary0123",
    "tgp_v1_" + "canarycanarycanary",
    "r8_" + "CanaryCanaryCanaryCanaryCanary",
    "ghp_" + "CanaryCanaryCanaryCanaryCanaryCanary",
    "AKIA" + "CANARYCANARY0000",
    "eyJ" + "canarycanary.canarycanary.canary",
    "https://user:" + "canarypassword@host/x",
    "0123456789abcdef" * 2 + "0123abcd",  # 40 hex digits, as Weights & Biases has them
    "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCANARYKEY",
    "xoxb-12345678-" + "canarycanarycanary",
    "-----BEGIN PRIVATE KEY-----\n" + "canarycanary",
)
LEAST = {"model": "m", "dataset": "d.jsonl"}
PLACES = (
    lambda secret: {"training": {"learning_rate": secret}},
    lambda secret: {"learing_rate": secret},
    lambda secret: {secret: 1},
    lambda secret: {"training": {secret: {secret: [secret]}}},
    lambda secret: {"lr": secret, "learning_rate": 1},
    lambda secret: {"method": secret},
    lambda secret: {"method": {"type": "dpo", secret: secret}},
    lambda secret: {"adapter": secret},
    lambda secret: {"adapter": {"r": secret, "target_modules": {secret: secret}}},
    lambda secret: {"load_in_4bit": secret, "bf16": [secret]},
    lambda secret: {"dataset": {"path": {secret: secret}, "columns": {secret: 1}}},
    lambda secret: {"metadata": {secret: [secret]}},
    lambda secret: {"backend_options": {secret: secret}},
    lambda secret: {"wandb_api_key": secret, "token": secret},
    lambda secret: {"compute": {"memory_limit": secret, "timeout": secret}},
    lambda secret: {"name": secret + "\n", "val_size": secret},
    lambda secret: {"report_to": [secret], "push_to_hub": secret},
)


def exposed_by(error):
    """All that an error shows or carries: its text, data, pickle, and the errors behind it."""
    texts = [str(error), repr(error), json.dumps(error.to_dict()), repr(vars(error)), repr(pickle.dumps(error))]
    return "\n".join([*texts, *(exposed_by(part) for part in (error.__cause__, error.__context__) if part)])


def leaks(secret, *arguments):
    with pytest.raises(SpecError) as caught:
        load_spec(*arguments)
    return secret in exposed_by(caught.value) or json.dumps(secret)[1:-1] in exposed_by(caught.value)


@pytest.mark.parametrize("secret", CANARIES)
def test_no_place_in_a_spec_leaks(secret):
    """Wherever a secret is, as a value or as a key, the error does not repeat it."""
    assert [] == [place for place in PLACES if leaks(secret, LEAST | place(secret))]


@pytest.mark.parametrize("secret", CANARIES)
@pytest.mark.parametrize(
    "text",
    [
        "model: {secret}\n  dataset: x",
        "{secret}: 1\n{secret}: 2",
        "a: &{secret} 1",
        "a: !{secret} 1",
        "a: !{secret}!b 1",
        "%TAG {secret}\n---\na",
        "'{secret}",
        '"\\{secret}"',
        "[{secret}",
        "{secret}",
    ],
)
def test_no_broken_yaml_leaks(tmp_path, text, secret):
    """A file that cannot be parsed is not quoted."""
    path = tmp_path / "job.yaml"
    path.write_text(text.replace("{secret}", secret))

    assert not leaks(secret, path)


@pytest.mark.parametrize("secret", [*CANARIES[:7], *CANARIES[8:9]])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.toml", "{secret} = 1\n{secret} = 2"),
        ("job.toml", "[{secret}]\n[{secret}]"),
        ("job.toml", "a = {{secret} = 1, {secret} = 2}"),
        ("job.toml", "a = {secret}"),
        ("job.json", '{"{secret}": 1, "{secret}": 2}'),
        ("job.json", '{"a": {secret}}'),
    ],
)
def test_no_broken_toml_or_json_leaks(tmp_path, name, text, secret):
    """The other parsers' messages are not repeated word for word either."""
    path = tmp_path / name
    path.write_text(text.replace("{secret}", secret))

    assert not leaks(secret, path)


@pytest.mark.parametrize("secret", CANARIES)
@pytest.mark.parametrize(
    "override", ["{}=1", "training.{}=1", "{}.lr=1", "training.{}.lr=1", "lr={}", "lr=[{}", "{}", "metadata.{}=[1]"]
)
def test_no_override_leaks(override, secret):
    """An override that fails is not repeated."""
    assert not leaks(secret, LEAST, [override.format(secret)])


@pytest.mark.parametrize("secret", CANARIES[:8])
def test_a_secret_is_refused_where_text_is_free(secret):
    """Even where any text would do, a known shape of key is refused and not repeated."""
    assert not leaks(secret, LEAST | {"metadata": {"note": secret}})
