"""Before anything is uploaded or started: a model's folder is complete, and has the layers that an adapter targets."""

import json
import shutil

import pytest
from repository_backends import TOKEN_ENGINES
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import ftsdk
from ftsdk.errors import SpecError, UnsupportedSpec
from ftsdk.job_folder import jobs_root
from ftsdk.translation.model_folder_checks import check_trainable, model_problems

INDEX = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}


@pytest.fixture
def copy(tiny_model, tmp_path):
    """A model that may be damaged."""
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.fixture
def rows(tmp_path):
    """A dataset."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "What is one?", "completion": "One."}\n')
    return str(file)


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def pickled(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def half_copied(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(INDEX))


def damaged_index(folder):
    no_weights(folder)
    (folder / "model.safetensors.index.json").write_text("{")


def without_a_layer(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def more_layers_than_weights(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6, "layer_types": None}))


def cut_short(folder):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])


def no_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_weights, "holds no weights (model.safetensors)"),
        (pickled, "are a pickle (pytorch_model.bin), which ftsdk never loads"),
        (half_copied, "lacks model-00002-of-00002.safetensors of its weights"),
        (damaged_index, "model.safetensors.index.json is damaged: its weight_map does not map tensors to files"),
        (without_a_layer, "lack q_proj of layer 1"),
        (more_layers_than_weights, "lack q_proj of layer 4 and 13 other weights"),
        (cut_short, "is no sound safetensors file"),
        (no_tokenizer, "holds no tokenizer"),
    ],
)
def test_an_incomplete_model_is_in_the_warnings_of_a_plan_and_starts_no_job(copy, rows, damage, message):
    """A forecast needs the config alone, so the plan warns; submit refuses, and no worker has a folder."""
    damage(copy)
    spec = ftsdk.JobSpec(model=str(copy), dataset=rows, training={"max_steps": 1})

    assert message in " ".join(ftsdk.plan(spec).warnings)
    with pytest.raises(SpecError) as caught:
        ftsdk.submit(spec)
    assert message in caught.value.problems[0].what
    assert [] == list(jobs_root().glob("*"))


def test_a_complete_model_has_no_problems(tiny_model):
    """Nor has a name on the Hub, of which nothing is known here."""
    assert [] == model_problems(str(tiny_model)) == model_problems("org/model")


def test_weights_in_shards_are_complete(copy):
    """An index and all files that it names."""
    AutoModelForCausalLM.from_pretrained(copy).save_pretrained(copy, max_shard_size="1MB")
    (copy / "model.safetensors").unlink()

    assert (True, None) == ((copy / "model.safetensors.index.json").is_file(), check_trainable(str(copy)))


@pytest.mark.parametrize(
    ("quantization", "method"),
    [
        ({"quant_method": "gptq"}, "gptq"),
        ({"quant_method": "torchao"}, "torchao"),
        ({"quant_method": "bitsandbytes"}, "bitsandbytes"),
        ({"load_in_4bit": True}, "method not given"),
    ],
)
def test_a_quantized_base_is_refused(copy, rows, quantization, method):
    """Its full-precision weights are lost; the plan refuses it, before it is loaded as if it had them."""
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "quantization_config": quantization}))
    with pytest.raises(UnsupportedSpec, match=f"saved quantized \\({method}\\)"):
        ftsdk.plan(ftsdk.JobSpec(model=str(copy), dataset=rows), backend="local")


def test_lengths_beyond_the_model_are_warned_of(tiny_model, rows):
    """Transformers trains on positions that the model has never seen, without a warning."""
    spec = ftsdk.JobSpec(model=str(tiny_model), dataset=rows, training={"max_length": 4096})

    assert any("beyond the 1024 positions" in warning for warning in ftsdk.plan(spec, backend="local").warnings)


@pytest.mark.parametrize("backend", ["local", *TOKEN_ENGINES])
@pytest.mark.parametrize(
    ("target", "fix"),
    [("q_porj", "did you mean q_proj?"), ("c_attn", "there are down_proj, gate_proj, k_proj,")],
)
def test_a_target_that_is_no_layer(tiny_model, rows, backend, target, fix):
    """A misspelt target module is refused in the plan, with the nearest name, not in the job."""
    spec = ftsdk.JobSpec(model=str(tiny_model), dataset=rows, adapter={"target_modules": [target]})
    with pytest.raises(UnsupportedSpec) as caught:
        ftsdk.plan(spec, backend=backend)
    [problem] = caught.value.problems

    assert ("adapter.target_modules", f"a model of type llama has no layer {target}") == problem[:2]
    assert problem.fix.startswith(fix)


@pytest.mark.parametrize("target", ["q_proj", "self_attn.v_proj", "lm_head", "model.layers.0.mlp.up_proj"])
def test_layers_by_their_names_and_paths(tiny_model, rows, target):
    """Names match by their last parts, as in PEFT; the head is a layer, too."""
    spec = ftsdk.JobSpec(model=str(tiny_model), dataset=rows, adapter={"target_modules": [target]})

    assert [target] == ftsdk.plan(spec, backend="local").native["lora"]["target_modules"]


@pytest.mark.parametrize("config", [{"model_type": "mamba"}, {"model_type": "mixtral", "num_local_experts": 8}])
def test_of_an_unknown_model_no_layer_is_refused(tmp_path, rows, config):
    """Where the layers are not known, the job checks them."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    spec = ftsdk.JobSpec(model=str(tmp_path), dataset=rows, adapter={"target_modules": ["x_proj"]})

    assert ["x_proj"] == ftsdk.plan(spec, backend="local").native["lora"]["target_modules"]
