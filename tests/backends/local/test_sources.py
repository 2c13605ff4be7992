"""Where models and rewards come from: folders, adapters, jobs, functions; what is no use is refused by its field."""

import hashlib
import json

import pytest

from ftsdk import JobSpec
from ftsdk.errors import UnsupportedSpec
from ftsdk.job_folder import JobFolder, jobs_root
from ftsdk.workers.hardware import Machine
from ftsdk_local import translate

CPU = Machine("cpu", "CPU", 16 * 2**30, visible="")
LORA = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/base",
    "revision": "abc",
    "r": 8,
    "lora_alpha": 32,
    "use_dora": False,
    "use_rslora": False,
    "init_lora_weights": True,
    "target_modules": ["v_proj", "q_proj"],
}


def plan(**changes):
    return translate.plan(JobSpec(**{"model": "org/base", "dataset": "/data/rows.jsonl", **changes}), CPU).native


def ppo(reward, **changes):
    return plan(method={"type": "ppo", "reward": str(reward)}, **changes)


def refusals(translate_spec, *arguments, **changes):
    """The fields that a plan is refused for, with the reasons."""
    with pytest.raises(UnsupportedSpec) as caught:
        translate_spec(*arguments, **changes)
    return {problem.where: problem.what for problem in caught.value.problems}


@pytest.fixture
def adapter(tmp_path):
    """Makes the folder of an adapter."""

    def make(name="adapter", **changes):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps({**LORA, **changes}))
        return folder

    return make


def test_an_adapter_is_taken_with_its_base(adapter):
    """Model, revision and LoRA settings come from the adapter; the user need not repeat them."""
    folder = adapter()

    native = plan(model=str(folder))

    assert (native["model"]["name"], native["model"]["revision"]) == ("org/base", "abc")
    assert native["adapter_from"] == str(folder)
    assert (native["lora"]["r"], native["lora"]["lora_alpha"]) == (8, 32)
    assert native["lora"]["target_modules"] == ["q_proj", "v_proj"]


def test_our_own_artifact_has_its_target_modules_as_written(adapter):
    """A manifest keeps all-linear as it was written, so that repeating it is no contradiction."""
    folder = adapter()
    (folder / "ftsdk.json").write_text(json.dumps({"plan": {"lora": {"target_modules": "all-linear"}}}))

    native = plan(model=str(folder), adapter={"target_modules": "all-linear"})

    assert native["lora"]["target_modules"] == "all-linear"


@pytest.mark.parametrize("field", ["r", "alpha", "use_dora", "use_rslora"])
def test_another_shape_of_adapter_is_refused(adapter, field):
    """What the user sets must be what the adapter has: its weights cannot be given another shape."""
    setting = {"r": 4, "alpha": 4.0, "use_dora": True, "use_rslora": True}[field]

    assert f"adapter.{field}" in refusals(plan, model=str(adapter()), adapter={field: setting})


def test_the_same_shape_is_taken(adapter):
    """Repeating what the adapter has is fine."""
    arguments = {"r": 8, "alpha": 32, "target_modules": ["q_proj", "v_proj"]}

    assert plan(model=str(adapter()), adapter=arguments)["lora"]["r"] == 8


def test_every_weight_cannot_train_from_an_adapter(adapter):
    """A full fine-tune needs a whole model."""
    assert "every weight would train" in refusals(plan, model=str(adapter()), adapter=None)["model"]


def test_a_reward_model_is_no_language_model(adapter):
    """Given as the model, it is sent to where it belongs."""
    assert "holds a reward model" in refusals(plan, model=str(adapter(task_type="SEQ_CLS")))["model"]


def test_a_reward_model_by_its_folder(adapter):
    """The folder is kept by its whole path."""
    folder = adapter(task_type="SEQ_CLS")

    assert ppo(folder)["reward"]["model"] == str(folder)


def test_an_artifact_that_writes_is_no_reward(adapter):
    """An adapter that generates gives no scores."""
    assert "it gives no scores" in refusals(ppo, adapter())["method.reward"]


def test_a_folder_without_a_model_is_no_reward(tmp_path):
    """An empty folder is no model."""
    assert "holds no model" in refusals(ppo, tmp_path)["method.reward"]


def test_a_job_names_its_artifact(adapter):
    """A local job that has ended well can be named as the model, and as the reward."""
    folder = JobFolder(jobs_root() / "sft-abc123")
    artifact = adapter(task_type="SEQ_CLS")
    folder.path.mkdir()
    artifact.rename(folder.artifact)

    assert ppo("local:sft-abc123")["reward"]["model"] == str(folder.artifact)


def test_a_job_that_has_made_nothing():
    """A job that still runs, or that does not exist, is refused with what to do."""
    assert "has no artifact on this machine" in refusals(ppo, "local:sft-abc123")["method.reward"]


def test_a_function_is_found_without_running_it(tmp_path, monkeypatch):
    """Its module is known by folder and hash, and not a line of it runs in the plan."""
    module = tmp_path / "scoring.py"
    module.write_text("raise RuntimeError('run')\n")
    monkeypatch.chdir(tmp_path)

    reward = ppo("scoring:score")["reward"]

    assert reward == {
        "function": "scoring:score",
        "path": str(tmp_path),
        "sha256": hashlib.sha256(module.read_bytes()).hexdigest(),
        "model": None,
        "revision": None,
    }


def test_a_function_in_a_package(tmp_path, monkeypatch):
    """Of a package, the folder that holds the package is what the worker needs."""
    package = tmp_path / "tasks" / "sums"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "rewards.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    paths = {name: ppo(f"tasks.{name}:score")["reward"]["path"] for name in ("sums", "sums.rewards")}

    assert set(paths.values()) == {str(tmp_path)}


@pytest.mark.parametrize("reward", ["nowhere:score", "json.nowhere:score", "sys:exit"])
def test_a_function_that_cannot_be_found(reward):
    """A module that is not there, or that is no file, is refused before anything runs."""
    assert "there is no module" in refusals(ppo, reward)["method.reward"]


@pytest.mark.parametrize("reward", ["./no/such/folder", "a b", "out/reward/"])
def test_what_is_nothing_is_refused(reward, tmp_path, monkeypatch):
    """Neither a folder, nor a Hub id, nor a function."""
    monkeypatch.chdir(tmp_path)

    assert "is no Hub id" in refusals(ppo, reward)["method.reward"]


def test_a_hub_id_is_taken_as_it_is():
    """A reward model on the Hub is fetched by the worker."""
    assert ppo("org/reward")["reward"]["model"] == "org/reward"


def test_a_damaged_config_is_named(tmp_path):
    """A model whose config cannot be read is refused by its file."""
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UnsupportedSpec, match=r"config\.json is damaged: it is not a JSON object"):
        translate.plan(JobSpec(model=str(tmp_path), dataset="/data/rows.jsonl"), CPU)
