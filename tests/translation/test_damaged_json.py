"""A small JSON file of a model folder that is damaged, or holds values of the wrong type, is named with a next step."""

import json
import shutil

import pytest
from repository_backends import ON_THIS_MACHINE

import ftsdk
from ftsdk.errors import SpecError, UnsupportedSpec
from ftsdk.translation import model_source
from ftsdk.translation.model_folder_checks import model_problems

AGAIN = "copy or download the model again"


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A copy of a model, to be damaged."""
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture
def rows(tmp_path):
    """A dataset."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "What is one?", "completion": "One."}\n')
    return str(file)


@pytest.fixture
def refusals(tiny_model, tmp_path):
    """Plans PPO with a reward model; returns what is refused of it."""
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "What is one?"}\n')

    def plan(reward, backend):
        method = {"type": "ppo", "reward": str(reward)}
        with pytest.raises(UnsupportedSpec) as caught:
            ftsdk.plan(ftsdk.JobSpec(model=str(tiny_model), dataset=str(file), method=method), backend=backend)
        return [problem[1:] for problem in caught.value.problems if problem.where == "method.reward"]

    return plan


@pytest.mark.parametrize(
    "text", ['{"weight_map": ["a"]}', '{"weight_map": {"a": 3}}', '{"weight_map": {}}', "{}", "[1]", "null", "{", ""]
)
def test_a_damaged_index_is_named(folder, rows, text):
    """In the plan's warnings and in the refusal of the job; never as an error of Python."""
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(text)
    spec = ftsdk.JobSpec(model=str(folder), dataset=rows, training={"max_steps": 1})

    assert any(f"{index} is damaged" in warning for warning in ftsdk.plan(spec).warnings)
    with pytest.raises(SpecError) as caught:
        ftsdk.submit(spec)
    [problem] = caught.value.problems
    assert ("model", AGAIN) == (problem.where, problem.fix)
    assert problem.what.startswith(f"{index} is damaged: ")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("text", ["[]", "null", '"text"', "{", "3"])
def test_other_files_are_named(folder, name, text):
    """Loaders read them, too; absent, they have defaults."""
    (folder / name).write_text(text)

    assert [("model", f"{folder / name} is damaged: it is not a JSON object", AGAIN)] == model_problems(str(folder))


CONFIGS = [
    ("[]", "it is not a JSON object"),
    ("null", "it is not a JSON object"),
    ("{", "it is not a JSON object"),
    ({"model_type": ["llama"]}, "model_type is ['llama'], which is not a text"),
    ({"architectures": 3}, "architectures is 3, which is not a list of names"),
    ({"architectures": [3]}, "architectures is [3], which is not a list of names"),
    ({"hidden_size": "wide"}, "hidden_size is 'wide', which is not a number"),
    ({"num_hidden_layers": {"a": 1}}, "num_hidden_layers is {'a': 1}, which is not a number"),
    ({"max_position_embeddings": "many"}, "max_position_embeddings is 'many', which is not a number"),
    ({"quantization_config": "nf4"}, "quantization_config is 'nf4', which is not an object"),
    ({"quantization_config": {"quant_method": ["gptq"]}}, "quant_method is ['gptq'], which is not a text"),
]


@pytest.mark.parametrize("backend", sorted(ON_THIS_MACHINE))
@pytest.mark.parametrize(("change", "reason"), CONFIGS)
def test_a_damaged_configuration_is_refused(folder, rows, backend, change, reason):
    """By the plan of every backend that reads it."""
    file = folder / "config.json"
    file.write_text(change if isinstance(change, str) else json.dumps(json.loads(file.read_text()) | change))
    spec = ftsdk.JobSpec(model=str(folder), dataset=rows, adapter={"target_modules": ["q_proj"]})

    with pytest.raises(UnsupportedSpec) as caught:
        ftsdk.plan(spec, backend=backend)

    assert ("model", f"{file} is damaged: {reason}", AGAIN) in caught.value.problems


@pytest.mark.parametrize(
    "change", [{"max_position_embeddings": None}, {"architectures": None}, {"intermediate_size": [8, 16]}]
)
def test_unusual_configurations_are_not_damaged(folder, rows, change):
    """Transformers writes null for what does not apply, and some models have a size for each layer."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    assert "native" in ftsdk.plan(ftsdk.JobSpec(model=str(folder), dataset=rows), backend="axolotl").model_dump()


ADAPTERS = [
    ("[]", "it is not a JSON object"),
    ("{", "it is not a JSON object"),
    ({"base_model_name_or_path": 3}, "base_model_name_or_path is 3, which is not a text"),
    ({"base_model_name_or_path": None}, "base_model_name_or_path is missing"),
    ({"task_type": ["SEQ_CLS"]}, "task_type is ['SEQ_CLS'], which is not a text"),
    ({"revision": 3}, "revision is 3, which is not a text"),
    ({"target_modules": 3}, "target_modules is 3, which is not a text or a list of texts"),
]
ADAPTER = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "org/base",
    "target_modules": ["q_proj"],
    "r": 8,
    "lora_alpha": 16,
    "use_dora": False,
    "use_rslora": False,
    "init_lora_weights": True,
}


def write_adapter(folder, change):
    folder.mkdir()
    file = folder / "adapter_config.json"
    file.write_text(change if isinstance(change, str) else json.dumps(ADAPTER | change))
    return file


@pytest.mark.parametrize(("change", "reason"), ADAPTERS)
def test_a_damaged_adapter_to_continue_is_refused(tmp_path, rows, change, reason):
    """An adapter that a training continues from."""
    file = write_adapter(tmp_path / "adapter", change)

    with pytest.raises(UnsupportedSpec) as caught:
        ftsdk.plan(ftsdk.JobSpec(model=str(file.parent), dataset=rows), backend="local")

    assert ("model", f"{file} is damaged: {reason}", AGAIN) in caught.value.problems


@pytest.mark.parametrize("backend", ["local", "llamafactory"])
@pytest.mark.parametrize(("change", "reason"), ADAPTERS[:-1])
def test_a_damaged_reward_adapter_is_refused(tmp_path, refusals, backend, change, reason):
    """A reward model that is an adapter."""
    file = write_adapter(tmp_path / "reward", change if isinstance(change, str) else {"task_type": "SEQ_CLS"} | change)

    assert [(f"{file} is damaged: {reason}", AGAIN)] == refusals(file.parent, backend)


@pytest.mark.parametrize("backend", ["local", "llamafactory"])
@pytest.mark.parametrize(("change", "reason"), CONFIGS)
def test_a_damaged_reward_model_is_refused(tmp_path, refusals, backend, change, reason):
    """A reward model with all its weights; what it is cannot be read, so it is not called a model of another kind."""
    folder = tmp_path / "reward"
    folder.mkdir()
    config = {"architectures": ["LlamaForSequenceClassification"]}
    (folder / "config.json").write_text(change if isinstance(change, str) else json.dumps(config | change))

    assert [(f"{folder / 'config.json'} is damaged: {reason}", AGAIN)] == refusals(folder, backend)


@pytest.mark.parametrize("text", ["[]", "{", "null"])
def test_a_damaged_file_in_the_hubs_cache_is_named(tmp_path, monkeypatch, text):
    """The spec names the model alone, so the message must say which file to delete."""
    file = tmp_path / "config.json"
    file.write_text(text)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(file))

    with pytest.raises(SpecError) as caught:
        model_source.cached_config("org/model", None)

    assert f"{file} is damaged: it is not a JSON object" == caught.value.message
    assert caught.value.hint == "delete it; it is downloaded again when it is needed"
