"""An adapter is merged into its base: one model that computes what the two of them compute."""

import json
import os
import random
import shutil

import pytest
import torch
from peft import PeftModel
from preference_rows import pairs, write_rows
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import ftsdk
from ftsdk.artifact import MANIFEST, Artifact, seal
from ftsdk.errors import ArtifactError, InputError
from ftsdk.files import sha256
from ftsdk.posttrain import merge_weights

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes
]

IDS = torch.tensor([[1, 3, 200, 301, 402, 503, 4, 600, 700]])

ADAPTERS = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "dora-rslora": {"use_dora": True, "use_rslora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "some-layers": {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [1, 2]},
    "ranks": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 32}},
    "whole-modules": {"target_modules": ["q_proj"], "modules_to_save": ["norm"]},
}


def logits(model):
    with torch.inference_mode():
        return model.eval()(input_ids=IDS).logits.float()


def unmerged(base, adapter):
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)


def hashes(folder):
    return {path.name: sha256(path) for path in folder.iterdir()}


@pytest.mark.numeric
@pytest.mark.parametrize("lora", ADAPTERS.values(), ids=ADAPTERS)
def test_merged_computes_what_unmerged_computes(base, adapter, tmp_path, lora):
    """For every kind of adapter, plain Transformers' logits of the merged model are plain PEFT's of the unmerged."""
    base_folder = base()
    tuned = adapter(base_folder, **lora)

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    expected, merged = logits(unmerged(base_folder, tuned)), logits(AutoModelForCausalLM.from_pretrained(artifact.path))
    assert torch.allclose(expected, merged, atol=2e-3)
    assert (expected - logits(AutoModelForCausalLM.from_pretrained(base_folder))).abs().max() > 0.1
    assert artifact.manifest.plan["check"]["difference"] < 1e-4


def test_embeddings_are_adapted_too(base, adapter, tmp_path):
    """An adapter may sit on the embeddings, where they are not tied to the head."""
    base_folder = base("Llama", tie_word_embeddings=False)
    tuned = adapter(base_folder, target_modules=["embed_tokens", "lm_head", "v_proj"])

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    expected, merged = logits(unmerged(base_folder, tuned)), logits(AutoModelForCausalLM.from_pretrained(artifact.path))
    assert torch.allclose(expected, merged, atol=1e-4)


ARCHITECTURES = {
    "Qwen2": {},
    "Qwen3": {},
    "Mistral": {},
    "Gemma": {},
    "GPT2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures_merge(base, adapter, tmp_path, name):
    """Layers with biases, norms of their own, tied heads or transposed weights are merged alike."""
    base_folder = base(name, **ARCHITECTURES[name])
    tuned = adapter(base_folder, fan_in_fan_out=name == "GPT2", bias="all" if name == "Qwen2" else "none")

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    expected, merged = logits(unmerged(base_folder, tuned)), logits(AutoModelForCausalLM.from_pretrained(artifact.path))
    assert torch.allclose(expected, merged, atol=1e-4)


def test_weights_keep_the_precision_of_the_base(base, adapter, tmp_path):
    """A bfloat16 base is merged in float32 and stored in bfloat16: each weight is rounded once."""
    base_folder = base(dtype=torch.bfloat16)
    tuned = adapter(base_folder)

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    exact = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32), tuned)
    expected = exact.merge_and_unload().to(torch.bfloat16).state_dict()
    weights = load_file(artifact.path / "model.safetensors")
    assert {torch.bfloat16} == {tensor.dtype for tensor in weights.values()}
    assert [] == [name for name, tensor in weights.items() if not torch.equal(tensor, expected[name])]


def test_shards_stay_shards(base, adapter, tmp_path):
    """A base in several files becomes a model in the same files, with an index that names the file of each weight."""
    base_folder = base("Llama", shards="200KB", tie_word_embeddings=False)
    tuned = adapter(base_folder)

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    index = "model.safetensors.index.json"
    assert json.loads((base_folder / index).read_text()) == json.loads((artifact.path / index).read_text()) | {
        "metadata": json.loads((base_folder / index).read_text())["metadata"]
    }
    assert torch.allclose(
        logits(unmerged(base_folder, tuned)), logits(AutoModelForCausalLM.from_pretrained(artifact.path)), atol=1e-4
    )


def test_a_training_on_nf4_is_merged_into_full_precision(train, tiny_model, tmp_path):
    """The adapter of a QLoRA run goes into the full-precision base, and the notes of the result state it."""
    tuned = train()

    artifact = Artifact.open(tuned).merge(tmp_path / "out")

    [note] = [note for note in artifact.manifest.plan["notes"] if "nf4" in note]
    assert "merged into the full-precision base" in note
    assert note in (artifact.path / "README.md").read_text()
    expected, merged = logits(unmerged(tiny_model, tuned)), logits(AutoModelForCausalLM.from_pretrained(artifact.path))
    assert (expected - merged).square().mean().sqrt() < 0.02 * expected.square().mean().sqrt()
    assert artifact.generate(["What is 7?"])[0]


def test_the_manifest_records_the_whole_way(train, tmp_path):
    """What was merged, by hash, on which base, with which versions; the spec and the training are taken over."""
    tuned = train()

    manifest = ftsdk.merge(tuned, tmp_path / "out").manifest

    parent = Artifact.open(tuned).manifest
    assert ("merge", {MANIFEST: sha256(tuned / MANIFEST)}) == (manifest.plan["step"], manifest.plan["from"]["files"])
    assert {MANIFEST} == manifest.plan["base"]["files"].keys()
    assert (parent.spec, parent.plan, parent.data) == (manifest.spec, manifest.plan["training"], manifest.data)
    assert {"torch", "transformers", "peft", "ftsdk"} <= manifest.versions.keys()


def test_a_folder_that_servers_take(train, tmp_path):
    """The trained chat template is there, also where older servers look, and answers end as in training."""
    template = tmp_path / "template.jinja"
    template.write_text(
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
        "{% if m.role == 'assistant' %}{% generation %}{{ '<|end|>' }}{% endgeneration %}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    tuned = train(
        dataset={"path": str(tmp_path / "rows.jsonl"), "chat_template": str(template)},
        method={"type": "sft", "train_on": "completion"},
    )

    out = ftsdk.merge(tuned, tmp_path / "out").path

    trained = AutoTokenizer.from_pretrained(tuned)
    assert "generation" in trained.chat_template
    assert trained.chat_template == AutoTokenizer.from_pretrained(out).chat_template
    assert trained.chat_template == json.loads((out / "tokenizer_config.json").read_text())["chat_template"]
    ends = json.loads((out / "generation_config.json").read_text())["eos_token_id"]
    assert trained.convert_tokens_to_ids("<|end|>") in (ends if isinstance(ends, list) else [ends])
    assert '\nPARAMETER stop "<|end|>"\nTEMPLATE """{{ range .Messages }}' in (out / "Modelfile").read_text()
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in out.iterdir() if path.name != MANIFEST)


def test_a_reward_model_is_merged_with_its_head(base, adapter, tmp_path):
    """A merged reward model scores as before: the new head is in its files, the old one is not."""
    base_folder = base("Llama", shards="200KB", tie_word_embeddings=False)
    tuned = adapter(base_folder, scores=True)

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    auto = AutoModelForSequenceClassification
    bare = auto.from_pretrained(base_folder, num_labels=1, pad_token_id=0)
    merged, loading = auto.from_pretrained(artifact.path, output_loading_info=True)
    assert torch.allclose(logits(PeftModel.from_pretrained(bare, tuned)), logits(merged), atol=1e-4)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    with pytest.raises(ArtifactError, match="it scores answers and writes none"):
        artifact.generate(["hello"])


def test_a_trained_reward_model_is_merged(train, tmp_path):
    """A reward model that was trained on nf4 can be merged, and its manifest names the method."""
    tuned = train(method="reward_modeling", dataset=write_rows(tmp_path / "pairs.jsonl", pairs()))

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    assert ("model", "reward_modeling") == (artifact.kind, artifact.manifest.method)
    assert ["LlamaForSequenceClassification"] == json.loads((artifact.path / "config.json").read_text())[
        "architectures"
    ]


def test_a_model_without_a_chat_template_is_merged(base, adapter, tmp_path):
    """Other backends train models that have none: the merged model has none either, and its own end token."""
    base_folder = base()
    (base_folder / "chat_template.jinja").unlink()
    tuned = adapter(base_folder)

    artifact = ftsdk.merge(tuned, tmp_path / "out")

    tokenizer = AutoTokenizer.from_pretrained(artifact.path)
    assert tokenizer.chat_template is None
    assert f'PARAMETER stop "{tokenizer.eos_token}"' in (artifact.path / "Modelfile").read_text()


# again, and killed


def test_again_is_nothing_to_do(base, adapter, tmp_path, monkeypatch):
    """A second call returns the first one's output, even if the adapter has been moved."""
    tuned = adapter(base())
    first = ftsdk.merge(tuned, tmp_path / "out")
    before = (first.path / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("ftsdk.posttrain.merge.merge_inputs", None)  # a second merge would fail

    again = ftsdk.merge(tuned.rename(tmp_path / "moved"), tmp_path / "out")

    assert first == again
    assert before == (again.path / "model.safetensors").stat().st_mtime_ns


def test_another_result_is_in_the_way(base, adapter, tmp_path):
    """The output of another adapter is not overwritten."""
    base_folder = base()
    out = ftsdk.merge(adapter(base_folder), tmp_path / "out").path
    before = hashes(out)
    shutil.rmtree(tmp_path / "adapter")

    with pytest.raises(ArtifactError, match="holds another artifact"):
        ftsdk.merge(adapter(base_folder, r=2), tmp_path / "out")

    assert before == hashes(out)


def test_killed_anywhere_it_is_whole_or_not_there(base, adapter, tmp_path, killed):
    """Kill -9 at any moment leaves no half model, and the next call finishes; its inputs are unchanged."""
    base_folder = base(dtype=torch.bfloat16)
    tuned = adapter(base_folder)
    expected = hashes(ftsdk.merge(tuned, tmp_path / "undisturbed").path)
    before = hashes(base_folder), hashes(tuned)
    out, moments, late = tmp_path / "out", random.Random(8), 0
    for _ in range(12):
        late += killed(lambda: ftsdk.merge(tuned, out), after=moments.uniform(0.005, 0.6))
        if out.exists():
            Artifact.open(out)
            shutil.rmtree(out)
    assert late < 12

    retried = hashes(ftsdk.merge(tuned, out).path)

    assert {n: h for n, h in expected.items() if n != MANIFEST} == {n: h for n, h in retried.items() if n != MANIFEST}
    assert before == (hashes(base_folder), hashes(tuned))
    assert [] == list(tmp_path.glob(".*"))


# refused


def no_base(base_folder, tuned):
    shutil.rmtree(base_folder)


def other_shape(base_folder, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "r": 2}))


def no_weights(base_folder, tuned):
    (tuned / "adapter_model.safetensors").rename(tuned / "adapter_model.bin")


def torn_base(base_folder, tuned):
    os.truncate(base_folder / "model.safetensors", 1000)


def damaged_base(base_folder, tuned):
    seal(base_folder, Artifact.open(base_folder).manifest if (base_folder / MANIFEST).exists() else _manifest())
    (base_folder / "config.json").write_text((base_folder / "config.json").read_text() + " ")


def _manifest():
    from ftsdk.artifact import Manifest

    return Manifest(kind="model", base_model="org/base", method="sft")


def quantized_base(base_folder, tuned):
    config = json.loads((base_folder / "config.json").read_text())
    (base_folder / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))


def code_of_its_own(base_folder, tuned):
    config = json.loads((base_folder / "config.json").read_text())
    custom_fields = {"model_type": "odd", "auto_map": {"AutoConfig": "odd.Odd", "AutoModelForCausalLM": "odd.OddModel"}}
    (base_folder / "config.json").write_text(json.dumps({**config, **custom_fields}))


def loftq(base_folder, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": "loftq"}))


def of_other_layers(base_folder, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q_proj"]}))


def nameless_base(base_folder, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))


def no_json(base_folder, tuned):
    (tuned / "adapter_config.json").write_text("[1")


def torn_adapter(base_folder, tuned):
    os.truncate(tuned / "adapter_model.safetensors", 1000)


TROUBLE = {
    of_other_layers: "which its target_modules do not name",
    nameless_base: "names no base model",
    no_json: "is no valid JSON object",
    torn_adapter: "no sound safetensors file",
    no_base: "the base of .* cannot be opened",
    other_shape: "does not fit the base",
    no_weights: "a pickle is never loaded",
    torn_base: "no sound safetensors file",
    damaged_base: "has changed since it was sealed",
    quantized_base: "is saved quantized",
    code_of_its_own: "needs code that comes with it",
    loftq: "init_lora_weights=loftq has changed the base's weights",
}


@pytest.mark.parametrize("harm", TROUBLE, ids=lambda harm: harm.__name__)
def test_an_error_is_reported_and_leaves_nothing(base, adapter, tmp_path, harm):
    """Whatever is wrong with adapter or base is reported, and nothing is left at the target."""
    base_folder = base()
    tuned = adapter(base_folder)
    harm(base_folder, tuned)

    with pytest.raises(ArtifactError, match=TROUBLE[harm]):
        ftsdk.merge(tuned, tmp_path / "out")

    assert [] == [*tmp_path.glob("out"), *tmp_path.glob(".*")]


def test_a_wrong_merge_is_caught(base, adapter, tmp_path, monkeypatch):
    """A weight that is merged wrongly changes the logits, and nothing is kept."""
    tuned = adapter(base())
    merge_layer = merge_weights.merge_layer
    monkeypatch.setattr(merge_weights, "merge_layer", lambda *inputs: merge_layer(*inputs) * 1.01)

    with pytest.raises(ArtifactError, match="merged and unmerged model disagree"):
        ftsdk.merge(tuned, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_whole_model_is_no_adapter(base, tmp_path):
    """There is nothing to merge in a whole model."""
    with pytest.raises(InputError, match="it is a whole model already"):
        ftsdk.merge(base(), tmp_path / "out")


def test_nothing_is_made_inside_what_is_read(base, adapter):
    """The finished training is not changed, not even by a folder in it."""
    tuned = adapter(base())

    with pytest.raises(InputError, match="which is only read"):
        ftsdk.merge(tuned, tuned / "merged")
