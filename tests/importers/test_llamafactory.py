"""A LLaMA-Factory file becomes the spec of the same training; what is not supported is refused in one error."""

import json

import pytest
import yaml
from golden_files import golden
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftsdk import JobSpec
from ftsdk.spec.loader import dump_spec
from ftsdk.workers.hardware import Machine
from ftsdk_llamafactory import translate
from ftsdk_llamafactory.engine import LlamaFactoryOptions
from ftsdk_llamafactory.importer.keys import KEYS

LEAST = "model_name_or_path: org/base\ndo_train: true\ndataset: chat\n"
CARD = Machine("cuda-0", "NVIDIA GeForce RTX 4090", 24 * 2**30, visible="0")

FILES = {
    "llamafactory-least": LEAST,
    "llamafactory-lora-sft": """
### model
model_name_or_path: meta-llama/Llama-3.1-8B-Instruct
trust_remote_code: true
### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: q_proj, v_proj
### dataset
dataset: identity
template: llama3
cutoff_len: 4096
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 16
### output
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
save_steps: 250
plot_loss: true
save_only_model: false
report_to: tensorboard
run_name: llama3 sft
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
### eval
val_size: 0.1
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 500
""",
    "llamafactory-qlora-neat": """
model_name_or_path: org/base
stage: sft
do_train: true
finetuning_type: lora
quantization_bit: 4
quantization_method: bnb
double_quantization: false
dataset: talks
neat_packing: true
mask_history: true
flash_attn: fa2
enable_liger_kernel: true
learning_rate: "2e-4"
warmup_steps: 20
max_steps: 1_000
optim: paged_adamw_8bit
neftune_noise_alpha: 5
deepspeed:
""",
    "llamafactory-full-prompt": LEAST + "finetuning_type: full\ntrain_on_prompt: yes\nlora_rank: 8\nuse_cpu: true\n",
    "llamafactory-raw": LEAST.replace("chat", "plain,second") + "template: empty\n",
    "llamafactory-text": LEAST.replace("chat", "text") + "stage: pt\npacking: false\n",
    "llamafactory-dpo": LEAST.replace("chat", "pairs") + "stage: dpo\npref_loss: hinge\npref_beta: 0.3\n",
    "llamafactory-orpo": LEAST.replace("chat", "pairs") + "stage: dpo\npref_loss: orpo\n",
    "llamafactory-kto": LEAST.replace("chat", "judged") + "stage: kto\nkto_chosen_weight: 2\n",
    "llamafactory-reward": LEAST.replace("chat", "pairs") + "stage: rm\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_spec(import_text, name):
    """Each file becomes exactly the kept spec; UPDATE_GOLDEN=1 writes them again, for review."""
    spec = dump_spec(import_text(FILES[name]).spec)

    assert golden(f"importers/golden/{name}.yaml", spec) == spec


REFUSED = {
    "deepspeed": "deepspeed: zero3.json",
    "use_galore": "use_galore: true",
    "additional_target": "additional_target: embed_tokens",
    "finetuning_type": "finetuning_type: freeze",
    "packing": "packing: true",
    "stage": "stage: ppo\nreward_model: org/judge",
    "pref_loss": "stage: dpo\npref_loss: simpo",
    "pref_ftx": "stage: dpo\npref_ftx: 0.5",
    "lr_scheduler_type": "lr_scheduler_type: cosine_with_min_lr",
    "optim": "optim: lion_32bit",
    "save_strategy": "save_strategy: epoch",
    "save_steps": "save_steps: 0.2",
    "quantization_bit": "quantization_bit: 3",
    "quantization_method": "quantization_bit: 8\nquantization_method: hqq",
    "report_to": "report_to: [wandb, swanlab]",
    "template": "template: alpaca",
    "pissa_init": "pissa_init: true",
    "load_best_model_at_end": "val_size: 0.1\neval_strategy: steps\nload_best_model_at_end: true",
    "streaming": "streaming: true",
    "enable_thinking": "enable_thinking: false",
    "data_seed": "data_seed: 7",
    "group_by_length": "group_by_length: true",
    "hub_token": "hub_token: abc",
    "mask_history": "mask_history: true\ntrain_on_prompt: true",
    "dataset": "dataset: chatt",
    "dataset_dir": "dataset_dir: nowhere",
    "bf16": "bf16: perhaps",
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_not_supported_is_refused(refusals, key):
    """The refusal names the key."""
    lines = [line for line in LEAST.splitlines() if line.partition(":")[0] not in REFUSED[key]]

    assert key in refusals("\n".join([*lines, REFUSED[key]]) + "\n")


SHAPES = {
    "images": ({"columns": {"prompt": "q", "response": "a", "images": "i"}}, "images: ftsdk trains on text"),
    "roles": ({"formatting": "sharegpt", "tags": {"role_tag": "from", "user_tag": "pirate"}}, "user_tag: pirate"),
    "chance": ({"num_samples": 10}, "not sampled"),
    "code": ({"script_url": "load.py"}, "code of a dataset is not run"),
    "csv": ({"file_name": "rows.csv"}, "JSON files only"),
    "shape": ({"formating": "sharegpt"}, "did you mean formatting?"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_rows_that_are_not_supported(refusals, tmp_path, name):
    """A dataset that cannot be read the same way is refused with its entry."""
    entry, message = SHAPES[name]
    info = {"odd": {"file_name": "o.json", **entry}}
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(info))

    assert message in " ".join(refusals(LEAST.replace("chat", "odd")).values())


def test_a_key_that_only_ftsdk_would_read(refusals, tmp_path):
    """LLaMA-Factory ignores an input that no column names; ftsdk would read it, so it is refused."""
    (tmp_path / "data" / "plain.jsonl").write_text('{"question": "1", "answer": "2", "input": "3"}\n')

    assert "the key input" in " ".join(refusals(LEAST.replace("chat", "plain")).values())


@pytest.mark.parametrize(("template", "kind"), [("chat_template.jinja", "differs"), (None, "refused")])
def test_a_template_by_name(import_text, refusals, tmp_path, template, kind):
    """A named template is a note where the model has one of its own, and an error where it is known to have none."""
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text("{}")
    if template:
        (folder / template).write_text("{{ messages }}")
    text = LEAST.replace("org/base", "base") + "template: qwen\n"

    if kind == "refused":
        assert "the model has none" in refusals(text)["template"]
    else:
        assert ["template"] == [note.key for note in import_text(text).notes if "qwen" in note.text]


COUNTS = st.integers(1, 512)
RATES = st.floats(0, 0.9).map(lambda rate: round(rate, 4))

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "adapter": st.none()
        | st.fixed_dictionaries(
            {"r": st.integers(1, 256), "alpha": st.integers(1, 512)},
            optional={
                "dropout": RATES,
                "use_dora": st.booleans(),
                "use_rslora": st.booleans(),
                "target_modules": st.just("all-linear") | st.just(["q_proj", "v_proj"]),
            },
        ),
        "eval_dataset": st.just("data/held.jsonl"),
        "trust_remote_code": st.booleans(),
        "training": st.fixed_dictionaries(
            {"learning_rate": st.floats(1e-6, 1e-2)},
            optional={
                "num_train_epochs": st.floats(0.5, 9),
                "lr_scheduler_type": st.sampled_from(["linear", "cosine", "constant", "inverse_sqrt"]),
                "warmup_steps": st.integers(0, 99),
                "max_length": COUNTS.map(lambda n: n + 1),
                "optim": st.sampled_from(["adamw_torch", "adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"]),
                "adam_beta2": RATES,
                "weight_decay": RATES,
                "max_grad_norm": RATES,
                "seed": COUNTS,
                "logging_steps": COUNTS,
                "save_steps": COUNTS,
                "save_total_limit": st.integers(2, 9),
                "global_batch_size": COUNTS,
            },
        ),
        "compute": st.fixed_dictionaries(
            {},
            optional={
                "dtype": st.sampled_from(["bfloat16", "float16", "float32"]),
                "gradient_checkpointing": st.booleans(),
                "attention": st.sampled_from(["auto", "sdpa", "flash_attention_2", "eager"]),
            },
        ),
    },
)
METHODS = st.sampled_from(
    ["sft", {"type": "dpo", "loss_type": "ipo"}, {"type": "dpo", "label_smoothing": 0.1}, {"type": "orpo", "beta": 0.3}]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=FIELDS, method=METHODS, interval=st.none() | COUNTS)
def test_there_and_back(import_text, fields, method, interval):
    """A spec's own YAML for LLaMA-Factory, imported, gives the same YAML again: no setting is lost on the way."""
    rows = "plain" if method == "sft" else "pairs"
    if interval and {"eval_dataset", "training"} <= fields.keys():
        fields = {**fields, "training": {**fields["training"], "eval_steps": interval}}
    spec = JobSpec(model="org/base", dataset="data/plain.jsonl", method=method, **fields)
    native = dict(translate.plan(spec, LlamaFactoryOptions(), CARD, "0.9.5").native["config"])
    datasets = {key: rows for key in ("dataset", "eval_dataset") if key in native}
    again = import_text(yaml.safe_dump({**native, **datasets, "dataset_dir": "data"})).spec
    native_again = translate.plan(again, LlamaFactoryOptions(), CARD, "0.9.5").native["config"]

    assert native == native_again


def test_each_key_is_in_one_table():
    """No key is in two of the tables, and every field that is named is one of the spec."""
    from ftsdk.spec.aliases import FIELDS as SPEC_FIELDS

    tables = [KEYS.mapped.keys(), KEYS.dropped.keys(), KEYS.refused.keys()]
    mapped = {field for fields in KEYS.mapped.values() for field in fields.split(", ")}

    assert sum(map(len, tables)) == len(set().union(*tables))
    assert {"a training"} == {
        name for name in mapped if name not in SPEC_FIELDS and not name.startswith("backend_options.")
    }
