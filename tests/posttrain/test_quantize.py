"""A whole model is quantized: plain Transformers loads it, it answers, and the source is unchanged."""

import json
import random
import shutil

import pytest
import torch
from preference_rows import pairs, write_rows
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import ftsdk
from ftsdk.artifact import MANIFEST, Artifact, artifact
from ftsdk.artifact.sealing import PICKLES
from ftsdk.errors import ArtifactError, InputError, MissingExtra
from ftsdk.files import sha256
from ftsdk.modeling import qat
from ftsdk.posttrain import quantization_kinds as kinds
from ftsdk.posttrain import quantize as quantize_step
from ftsdk.workers.event_writer import read_events

pytestmark = [
    pytest.mark.engine,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes
]

HERE = [name for name, kind in kinds.KINDS.items() if not kind.on_gpu or torch.cuda.is_available()]
PACKED = sorted({"int4-packed", "nf4"} & set(HERE))
"""Kinds of 4 bits that take half a byte for a weight."""


def weights(folder):
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def hashes(folder):
    return {path.name: sha256(path) for path in folder.iterdir()}


@pytest.mark.parametrize("kind", HERE)
def test_plain_transformers_loads_it_and_it_answers(tiny_model, tmp_path, kind):
    """Each kind is a folder that plain Transformers loads, that generates, and that holds no pickle."""
    quantized = ftsdk.quantize(tiny_model, kind, tmp_path / "out")

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(quantized.path),
        AutoTokenizer.from_pretrained(quantized.path),
    )
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = tokenizer.decode(model.generate(**prompt, max_new_tokens=16, do_sample=False)[0])
    assert "The capital of France is Paris." in answer
    assert model.config.quantization_config.quant_method.value == kinds.KINDS[kind].library
    assert [] == [path.name for path in quantized.path.iterdir() if path.suffix in PICKLES]


@pytest.mark.parametrize("kind", HERE)
def test_the_artifact_answers_too(tiny_model, tmp_path, kind):
    """A quantized model is an artifact like any other: verified, and usable with ``generate``."""
    quantized = Artifact.open(tiny_model).quantize(kind, tmp_path / "out")

    assert ["The capital of France is Paris."] == quantized.generate(["What is the capital of France?"])
    assert "model" == quantized.kind


def test_fewer_bits_take_less_space(base, tmp_path):
    """Of a model that is mostly layers, 8 bits take about a quarter of float32, and 4 packed bits less than 8."""
    base_folder = base("Llama", hidden_size=256, intermediate_size=1024)
    sizes = {kind: weights(ftsdk.quantize(base_folder, kind, tmp_path / kind).path) for kind in HERE}
    full, embeddings = weights(base_folder), 2 * 1536 * 256 * 4

    assert (sizes["int8"] - embeddings) / (full - embeddings) == pytest.approx(0.25, abs=0.02)
    assert sizes["int8-dynamic"] == pytest.approx(sizes["int8"], rel=0.01)
    assert [] == [kind for kind in PACKED if sizes[kind] > 0.9 * sizes["int8"]]


def test_embeddings_and_heads_stay(base, tmp_path):
    """Embedding and output head are not changed."""
    base_folder = base("Llama", tie_word_embeddings=False)

    quantized = ftsdk.quantize(base_folder, "int8", tmp_path / "out")

    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (base_folder, quantized.path))
    assert torch.equal(before.lm_head.weight, after.lm_head.weight)
    assert torch.equal(before.model.embed_tokens.weight, after.model.embed_tokens.weight)
    assert "IntxUnpackedToInt8Tensor" == type(after.model.layers[0].mlp.up_proj.weight).__name__


def test_the_manifest_records_the_whole_way(tiny_model, tmp_path):
    """What was quantized, by hash, how, with which version, and how far its outputs are from those before."""
    plan = ftsdk.quantize(tiny_model, "int8", tmp_path / "out").manifest.plan

    assert ("quantize", "int8") == (plan["step"], plan["kind"])
    assert {MANIFEST: sha256(tiny_model / MANIFEST)} == plan["from"]["files"]
    assert 0 < plan["check"]["difference"] < 0.05
    assert "torchao" in Artifact.open(tmp_path / "out").manifest.versions


def test_a_base_without_a_manifest(base, tmp_path):
    """Any model folder can be quantized; its files are identified by their hashes."""
    base_folder = base()

    quantized = ftsdk.quantize(base_folder, "int8", tmp_path / "out")

    assert sha256(base_folder / "model.safetensors") == quantized.manifest.plan["from"]["files"]["model.safetensors"]
    assert str(base_folder) == quantized.base_model
    assert "Fine-tuned" not in (quantized.path / "README.md").read_text()


def test_merged_and_quantized_remembers_its_training(train, tmp_path):
    """After both steps, the spec, the metrics and the trained template are still there."""
    tuned = train()

    quantized = Artifact.open(tuned).merge(tmp_path / "merged").quantize("int8-dynamic", tmp_path / "out")

    parent = Artifact.open(tuned).manifest
    assert (parent.spec, parent.metrics, parent.plan) == (
        quantized.manifest.spec,
        quantized.manifest.metrics,
        quantized.manifest.plan["training"],
    )
    template = AutoTokenizer.from_pretrained(tuned).chat_template
    assert template == AutoTokenizer.from_pretrained(quantized.path).chat_template
    assert 2 < len(quantized.manifest.plan["notes"])


def test_a_reward_model_keeps_its_head(train, tmp_path):
    """A quantized reward model scores with the head that was trained."""
    tuned = train(method="reward_modeling", dataset=write_rows(tmp_path / "pairs.jsonl", pairs()))
    merged = ftsdk.merge(tuned, tmp_path / "merged")

    quantized = merged.quantize("int8", tmp_path / "out")

    before, after = (AutoModelForSequenceClassification.from_pretrained(a.path) for a in (merged, quantized))
    assert torch.equal(before.score.weight, after.score.weight)


@pytest.mark.parametrize("kind", qat.RECIPES)
def test_it_rounds_as_quantization_aware_training_did(tiny_model, tmp_path, kind):
    """Each value of ``training.quantization_aware`` is a kind, and makes of a weight what training computed with."""
    quantized = ftsdk.quantize(tiny_model, kind, tmp_path / "out")

    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (tiny_model, quantized.path))
    _, round_weight = qat._rounders(kind)
    for layer, rounded in zip(before.model.layers, after.model.layers, strict=True):
        expected, actual = round_weight(layer.mlp.up_proj.weight), rounded.mlp.up_proj.weight.dequantize()
        assert torch.allclose(expected, actual, atol=1e-3)


@pytest.mark.numeric
@pytest.mark.parametrize("kind", HERE)
def test_it_is_measured_as_it_is_saved(tiny_model, tmp_path, kind):
    """An evaluation of a quantized model finds nearly the loss of the model that it was made of."""
    rows = tmp_path / "rows.jsonl"
    row = {"prompt": "What is the capital of France?", "completion": "The capital of France is Paris."}
    rows.write_text(json.dumps(row))
    source = tmp_path / "source"
    shutil.copytree(tiny_model, source, ignore=shutil.ignore_patterns(MANIFEST))

    evaluation = ftsdk.quantize(source, kind, tmp_path / "out").evaluate(dataset=rows, samples=0)

    [loss] = [metric for metric in evaluation.held_out.metrics if metric.metric == "loss"]
    assert loss.base == pytest.approx(loss.artifact, abs=0.1)


# again, and killed


def test_again_is_nothing_to_do(tiny_model, tmp_path, monkeypatch):
    """A second call returns the first one's output; another kind is refused the same folder."""
    first = ftsdk.quantize(tiny_model, "int8", tmp_path / "out")
    monkeypatch.setattr(quantize_step, "_write_quantized", None)  # a second quantization would fail

    assert first == ftsdk.quantize(tiny_model, "int8", tmp_path / "out")
    with pytest.raises(ArtifactError, match="holds another artifact"):
        ftsdk.quantize(tiny_model, "nf4", tmp_path / "out")


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_killed_anywhere_it_is_whole_or_not_there(tiny_model, tmp_path, killed, kind):
    """Kill -9 at any moment leaves no half model, and the next call finishes; the finished training is untouched."""
    source = tmp_path / "source"
    shutil.copytree(tiny_model, source)
    undisturbed = ftsdk.quantize(source, kind, tmp_path / "undisturbed").path
    before, out, moments, late = hashes(source), tmp_path / "out", random.Random(8), 0
    for _ in range(8):
        late += killed(lambda: ftsdk.quantize(source, kind, out), after=moments.uniform(0.005, 0.5))
        if out.exists():
            Artifact.open(out)
            shutil.rmtree(out)
    assert late < 8

    retried = ftsdk.quantize(source, kind, out).path

    tensors, again = (load_file(folder / "model.safetensors") for folder in (undisturbed, retried))
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert before == hashes(source)
    assert [] == list(tmp_path.glob(".*"))


# refused


def test_an_adapter_is_merged_first(base, adapter, tmp_path):
    """An adapter has few weights of its own; the error names the command that comes first."""
    tuned = adapter(base())

    with pytest.raises(InputError, match=f"ftsdk merge {tuned} --output"):
        ftsdk.quantize(tuned, "int8", tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "message"),
    [("int5", "one of: int8, int8-dynamic"), ("gguf", "convert_hf_to_gguf.py"), ("gguf-q4_k_m", "llama-quantize")],
)
def test_other_kinds_are_refused_with_the_next_step(tiny_model, tmp_path, kind, message):
    """An unknown kind is refused with the known ones; GGUF with llama.cpp's own commands."""
    with pytest.raises(InputError, match=message):
        ftsdk.quantize(tiny_model, kind, tmp_path / "out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_packed_int4_needs_a_gpu(tiny_model, tmp_path):
    """Without an NVIDIA GPU, torchao's packed int4 is refused, and the error names what works instead."""
    with pytest.raises(InputError, match="nf4 packs 4 bits on any machine"):
        ftsdk.quantize(tiny_model, "int4-packed", tmp_path / "out")


def test_twice_is_refused(tiny_model, tmp_path):
    """A quantized model no longer has the numbers that another quantization needs."""
    once = ftsdk.quantize(tiny_model, "int8", tmp_path / "once")

    with pytest.raises(InputError, match="quantized already"):
        once.quantize("nf4", tmp_path / "out")


def test_without_torchao_the_extra_is_named(tiny_model, tmp_path, monkeypatch):
    """Without torchao, both quantizing and generating name the line to type."""
    quantized = ftsdk.quantize(tiny_model, "int8", tmp_path / "out")
    artifact._load.cache_clear()
    for module in ("ftsdk.posttrain.quantization_kinds", "ftsdk.posttrain.loading"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None)

    with pytest.raises(MissingExtra, match="ftsdk\\[quantize\\]"):
        ftsdk.quantize(tiny_model, "int8", tmp_path / "more")
    with pytest.raises(MissingExtra, match="ftsdk\\[quantize\\]"):
        quantized.generate(["hello"])


def test_odd_widths_are_reported(base, tmp_path):
    """Rows that groups of weights do not divide are an error, not left out or padded."""
    base_folder = base("Llama", hidden_size=48, head_dim=12)

    with pytest.raises(ArtifactError, match="groups of 32 do not divide"):
        ftsdk.quantize(base_folder, "int4", tmp_path / "out")


def test_a_model_that_does_not_survive_is_not_kept(tiny_model, tmp_path, monkeypatch):
    """If the outputs differ too much, nothing is kept."""
    monkeypatch.setattr(quantize_step, "_LARGEST_DIFFERENCE", 1e-6)

    with pytest.raises(ArtifactError, match=r"the outputs of .* differ by"):
        ftsdk.quantize(tiny_model, "int8", tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_reported_before_it_begins(tiny_model, tmp_path, monkeypatch):
    """A disk that is too small is an error at once, with the space that is needed."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 10**6))

    with pytest.raises(ArtifactError, match="needs up to"):
        ftsdk.quantize(tiny_model, "int8", tmp_path / "out")


def test_a_broken_model_is_reported(base, tmp_path):
    """Missing weights and a missing tokenizer are named."""
    base_folder = base()
    (base_folder / "tokenizer_config.json").unlink()
    with pytest.raises(ArtifactError, match="holds no tokenizer"):
        ftsdk.quantize(base_folder, "int8", tmp_path / "out")
    shutil.copyfile(json_of(tmp_path), base_folder / "tokenizer_config.json")
    (base_folder / "model.safetensors").unlink()

    with pytest.raises(ArtifactError, match=r"holds no model\.safetensors"):
        ftsdk.quantize(base_folder, "int8", tmp_path / "out")


def test_weights_that_are_not_there_are_not_made_up(base, tmp_path):
    """Transformers would fill them with random numbers: the model is refused, with the missing weight."""
    base_folder = base()
    weights = load_file(base_folder / "model.safetensors")
    del weights["model.norm.weight"], weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, base_folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ArtifactError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight and 1 other weights"):
        ftsdk.quantize(base_folder, "int8", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{", "[1, 2]"])
def test_a_broken_configuration_is_reported(base, tmp_path, content):
    """By the file, with ftsdk's own error."""
    base_folder = base()
    (base_folder / "config.json").write_text(content)

    with pytest.raises(ArtifactError, match=r"config\.json is no valid JSON object"):
        ftsdk.quantize(base_folder, "int8", tmp_path / "out")


def json_of(folder):
    path = folder / "any.json"
    path.write_text(json.dumps({}))
    return path


@pytest.mark.numeric
@pytest.mark.parametrize("adapter", [{}, None], ids=["adapter", "all weights"])
def test_what_learned_to_be_rounded_is_rounded_so(train, tmp_path, adapter):
    """Merged and then quantized, it has the held-out loss that its training reported, also on a base of 16 bits."""
    training = {"max_steps": 2, "global_batch_size": 4, "max_length": 64, "quantization_aware": "int4"}
    artifact = Artifact.open(train(adapter=adapter, training=training, val_size=2, compute={}))
    log_lines = [event.message for event in read_events(artifact.path.parent / "events.jsonl") if event.kind == "log"]
    model = artifact if adapter is None else artifact.merge(tmp_path / "merged")
    small = model.quantize("int4", tmp_path / "small").evaluate(samples=0)

    assert "28 linear layers compute with weights rounded to int4" in log_lines
    assert artifact.manifest.metrics["eval_loss"] == pytest.approx(small.held_out.metrics[0].artifact, abs=1e-6)


def test_prompts_that_are_none(train):
    """No prompts give no answers; a prompt of another type, or an answer of no tokens, is an error of ours."""
    artifact = Artifact.open(train())

    assert [] == artifact.generate([])
    for arguments in ({"prompts": ["Hi"], "max_new_tokens": 0}, {"prompts": [3]}):
        with pytest.raises(InputError):
            artifact.generate(**arguments)
