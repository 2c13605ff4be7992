"""An adapter is merged into its base: one model that computes what the two of them compute."""

import json
import os
import random
import shutil

import pytest
import torch
from peft import PeftModel
from preference_rows import pairs, written
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import ftsdk
from ftsdk.artifact import MANIFEST, Artifact, seal
from ftsdk.errors import ArtifactError, InputError
from ftsdk.files import sha256
from ftsdk.posttrain import merge_weights as merger

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


@pytest.mark.parametrize("lora", ADAPTERS.values(), ids=ADAPTERS)
def test_merged_computes_what_unmerged_computes(base, adapter, tmp_path, lora):
    """For every kind of adapter, plain Transformers' logits of the merged model are plain PEFT's of the unmerged."""
    ground = base()
    tuned = adapter(ground, **lora)

    made = ftsdk.merge(tuned, tmp_path / "out")

    wanted, found = logits(unmerged(ground, tuned)), logits(AutoModelForCausalLM.from_pretrained(made.path))
    assert torch.allclose(wanted, found, atol=2e-3)
    assert (wanted - logits(AutoModelForCausalLM.from_pretrained(ground))).abs().max() > 0.1
    assert made.manifest.plan["check"]["difference"] < 1e-4


def test_embeddings_are_adapted_too(base, adapter, tmp_path):
    """An adapter may sit on the embeddings, where they are not tied to the head."""
    ground = base("Llama", tie_word_embeddings=False)
    tuned = adapter(ground, target_modules=["embed_tokens", "lm_head", "v_proj"])

    made = ftsdk.merge(tuned, tmp_path / "out")

    wanted, found = logits(unmerged(ground, tuned)), logits(AutoModelForCausalLM.from_pretrained(made.path))
    assert torch.allclose(wanted, found, atol=1e-4)


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
    ground = base(name, **ARCHITECTURES[name])
    tuned = adapter(ground, fan_in_fan_out=name == "GPT2", bias="all" if name == "Qwen2" else "none")

    made = ftsdk.merge(tuned, tmp_path / "out")

    wanted, found = logits(unmerged(ground, tuned)), logits(AutoModelForCausalLM.from_pretrained(made.path))
    assert torch.allclose(wanted, found, atol=1e-4)


def test_weights_keep_the_precision_of_the_base(base, adapter, tmp_path):
    """A bfloat16 base is merged in float32 and stored in bfloat16: each weight is rounded once."""
    ground = base(dtype=torch.bfloat16)
    tuned = adapter(ground)

    made = ftsdk.merge(tuned, tmp_path / "out")

    exact = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(ground, dtype=torch.float32), tuned)
    wanted = exact.merge_and_unload().to(torch.bfloat16).state_dict()
    found = load_file(made.path / "model.safetensors")
    assert {torch.bfloat16} == {tensor.dtype for tensor in found.values()}
    assert [] == [name for name, tensor in found.items() if not torch.equal(tensor, wanted[name])]


def test_shards_stay_shards(base, adapter, tmp_path):
    """A base in several files becomes a model in the same files, with an index that tells where each weight is."""
    ground = base("Llama", shards="200KB", tie_word_embeddings=False)
    tuned = adapter(ground)

    made = ftsdk.merge(tuned, tmp_path / "out")

    index = "model.safetensors.index.json"
    assert json.loads((ground / index).read_text()) == json.loads((made.path / index).read_text()) | {
        "metadata": json.loads((ground / index).read_text())["metadata"]
    }
    assert torch.allclose(
        logits(unmerged(ground, tuned)), logits(AutoModelForCausalLM.from_pretrained(made.path)), atol=1e-4
    )


def test_a_training_on_nf4_is_merged_into_full_precision(train, tiny_model, tmp_path):
    """The adapter of a QLoRA run goes into the full-precision base, and the result says so."""
    tuned = train()

    made = Artifact.open(tuned).merge(tmp_path / "out")

    [told] = [note for note in made.manifest.plan["notes"] if "nf4" in note]
    assert "merged into the full-precision base" in told
    assert told in (made.path / "README.md").read_text()
    wanted, found = logits(unmerged(tiny_model, tuned)), logits(AutoModelForCausalLM.from_pretrained(made.path))
    assert (wanted - found).square().mean().sqrt() < 0.02 * wanted.square().mean().sqrt()
    assert made.generate(["What is 7?"])[0]


def test_the_manifest_tells_the_whole_way(train, tmp_path):
    """What was merged, by hash, on which base, with which versions; the spec and the training are taken over."""
    tuned = train()

    made = ftsdk.merge(tuned, tmp_path / "out").manifest

    parent = Artifact.open(tuned).manifest
    assert ("merge", {MANIFEST: sha256(tuned / MANIFEST)}) == (made.plan["step"], made.plan["from"]["files"])
    assert {MANIFEST} == made.plan["base"]["files"].keys()
    assert (parent.spec, parent.plan, parent.data) == (made.spec, made.plan["training"], made.data)
    assert {"torch", "transformers", "peft", "ftsdk"} <= made.versions.keys()


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
    ground = base("Llama", shards="200KB", tie_word_embeddings=False)
    tuned = adapter(ground, scores=True)

    made = ftsdk.merge(tuned, tmp_path / "out")

    auto = AutoModelForSequenceClassification
    bare = auto.from_pretrained(ground, num_labels=1, pad_token_id=0)
    whole, loading = auto.from_pretrained(made.path, output_loading_info=True)
    assert torch.allclose(logits(PeftModel.from_pretrained(bare, tuned)), logits(whole), atol=1e-4)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    with pytest.raises(ArtifactError, match="it scores answers and writes none"):
        made.generate(["hello"])


def test_a_trained_reward_model_goes_on_as_a_whole_one(train, tmp_path):
    """What method reward_modeling has made on nf4 can be merged, and says what made it."""
    tuned = train(method="reward_modeling", dataset=written(tmp_path / "pairs.jsonl", pairs()))

    made = ftsdk.merge(tuned, tmp_path / "out")

    assert ("model", "reward_modeling") == (made.kind, made.manifest.method)
    assert ["LlamaForSequenceClassification"] == json.loads((made.path / "config.json").read_text())["architectures"]


# again, and killed


def test_again_is_nothing_to_do(base, adapter, tmp_path, monkeypatch):
    """A second call finds what the first has made, wherever the adapter lies by now."""
    tuned = adapter(base())
    first = ftsdk.merge(tuned, tmp_path / "out")
    before = (first.path / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("ftsdk.posttrain.merge.ready", None)  # it would fail if it began anew

    again = ftsdk.merge(tuned.rename(tmp_path / "moved"), tmp_path / "out")

    assert first == again
    assert before == (again.path / "model.safetensors").stat().st_mtime_ns


def test_another_result_is_in_the_way(base, adapter, tmp_path):
    """What was made of another adapter is not written over."""
    ground = base()
    out = ftsdk.merge(adapter(ground), tmp_path / "out").path
    before = hashes(out)
    shutil.rmtree(tmp_path / "adapter")

    with pytest.raises(ArtifactError, match="holds another artifact"):
        ftsdk.merge(adapter(ground, r=2), tmp_path / "out")

    assert before == hashes(out)


def test_killed_anywhere_it_is_whole_or_not_there(base, adapter, tmp_path, killed):
    """Kill -9 at any moment leaves no half model, and the next call finishes; what it started from is untouched."""
    ground = base(dtype=torch.bfloat16)
    tuned = adapter(ground)
    wanted = hashes(ftsdk.merge(tuned, tmp_path / "undisturbed").path)
    before = hashes(ground), hashes(tuned)
    out, moments, late = tmp_path / "out", random.Random(8), 0
    for _ in range(12):
        late += killed(lambda: ftsdk.merge(tuned, out), after=moments.uniform(0.005, 0.6))
        if out.exists():
            Artifact.open(out)
            shutil.rmtree(out)
    assert late < 12

    found = hashes(ftsdk.merge(tuned, out).path)

    assert {n: h for n, h in wanted.items() if n != MANIFEST} == {n: h for n, h in found.items() if n != MANIFEST}
    assert before == (hashes(ground), hashes(tuned))
    assert [] == list(tmp_path.glob(".*"))


# refused


def no_base(ground, tuned):
    shutil.rmtree(ground)


def other_shape(ground, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "r": 2}))


def no_weights(ground, tuned):
    (tuned / "adapter_model.safetensors").rename(tuned / "adapter_model.bin")


def torn_base(ground, tuned):
    os.truncate(ground / "model.safetensors", 1000)


def damaged_base(ground, tuned):
    seal(ground, Artifact.open(ground).manifest if (ground / MANIFEST).exists() else _manifest())
    (ground / "config.json").write_text((ground / "config.json").read_text() + " ")


def _manifest():
    from ftsdk.artifact import Manifest

    return Manifest(kind="model", base_model="org/base", method="sft")


def quantized_base(ground, tuned):
    config = json.loads((ground / "config.json").read_text())
    (ground / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))


def code_of_its_own(ground, tuned):
    config = json.loads((ground / "config.json").read_text())
    own = {"model_type": "odd", "auto_map": {"AutoConfig": "odd.Odd", "AutoModelForCausalLM": "odd.OddModel"}}
    (ground / "config.json").write_text(json.dumps({**config, **own}))


def loftq(ground, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "init_lora_weights": "loftq"}))


def of_other_layers(ground, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q_proj"]}))


def nameless_base(ground, tuned):
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))


def no_json(ground, tuned):
    (tuned / "adapter_config.json").write_text("[1")


def torn_adapter(ground, tuned):
    os.truncate(tuned / "adapter_model.safetensors", 1000)


TROUBLE = {
    of_other_layers: "which its target_modules do not name",
    nameless_base: "names no base model",
    no_json: "is no valid JSON object",
    torn_adapter: "no sound safetensors file",
    no_base: "the base of .* cannot be had",
    other_shape: "does not fit the base",
    no_weights: "a pickle is never loaded",
    torn_base: "no sound safetensors file",
    damaged_base: "has changed since it was sealed",
    quantized_base: "is saved in few bits",
    code_of_its_own: "needs code that comes with it",
    loftq: "has changed the base in a way of its own",
}


@pytest.mark.parametrize("harm", TROUBLE, ids=lambda harm: harm.__name__)
def test_trouble_is_told_and_leaves_nothing(base, adapter, tmp_path, harm):
    """Whatever is wrong with adapter or base is said, and nothing is left at the target."""
    ground = base()
    tuned = adapter(ground)
    harm(ground, tuned)

    with pytest.raises(ArtifactError, match=TROUBLE[harm]):
        ftsdk.merge(tuned, tmp_path / "out")

    assert [] == [*tmp_path.glob("out"), *tmp_path.glob(".*")]


def test_a_wrong_merge_is_caught(base, adapter, tmp_path, monkeypatch):
    """Were a weight merged wrongly, the logits would tell, and nothing would be kept."""
    tuned = adapter(base())
    right = merger.merged
    monkeypatch.setattr(merger, "merged", lambda *given: right(*given) * 1.01)

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
