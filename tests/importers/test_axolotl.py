"""An Axolotl file becomes the spec of the same training; what is not supported is refused in one error."""

import pytest
from golden_files import golden

from ftsdk.spec.loader import dump_spec
from ftsdk_axolotl.importer.keys import KEYS

LEAST = "base_model: org/base\nlearning_rate: 2e-4\n"
CHAT = "datasets:\n  - path: chat.jsonl\n    type: chat_template\n"
LORA = "adapter: lora\nlora_r: 16\nlora_alpha: 32\nlora_target_linear: true\n"

FILES = {
    "axolotl-least": LEAST + CHAT,
    "axolotl-qlora-packed": """
base_model: NousResearch/Meta-Llama-3-8B-Instruct
model_type: AutoModelForCausalLM
tokenizer_type: AutoTokenizer
load_in_8bit: false
load_in_4bit: true
strict: false
plugins:
  - axolotl.integrations.liger.LigerPlugin
liger_rms_norm: true
chat_template: llama3
datasets:
  - path: org/talks
    type: chat_template
    split: train_sft
    field_messages: conversations
    message_property_mappings: {role: from, content: value}
    roles_to_train: [assistant]
    train_on_eos: turn
dataset_prepared_path: last_run_prepared
val_set_size: 0.05
output_dir: ./outputs/qlora-out
adapter: qlora
sequence_len: 4096
sample_packing: true
pad_to_sequence_len: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules:
  - q_proj
  - down_proj
wandb_project: talks
wandb_name: first try
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 4
optimizer: paged_adamw_32bit
lr_scheduler: cosine
learning_rate: 2e-4
train_on_inputs: false
group_by_length: false
bf16: auto
fp16:
tf32: false
gradient_checkpointing: true
early_stopping_patience:
resume_from_checkpoint:
logging_steps: 1
flash_attention: true
warmup_steps: 10
evals_per_epoch: 1
save_steps: 100
weight_decay: 0.0
special_tokens:
  pad_token: "<|end_of_text|>"
""",
    "axolotl-int8-steps": LEAST
    + CHAT
    + LORA
    + "load_in_8bit: true\nmax_steps: 400\nsaves_per_epoch: 2\nnum_epochs: 2\nfp16: true\nbf16: no\nuse_mlflow: on\n",
    "axolotl-text": LEAST + "datasets:\n  - path: text.jsonl\n    type: completion\n    field: body\n",
    "axolotl-own-type": LEAST
    + """
datasets:
  - path: rows.jsonl
    ds_type: json
    type:
      field_instruction: question
      field_output: answer
      format: "{instruction}"
      no_input_format: "{instruction}"
  - path: more.jsonl
    type: {field_instruction: question, field_output: answer, format: "{instruction}", no_input_format: "{instruction}"}
batch_size: 12
micro_batch_size: 3
""",
    "axolotl-dpo": LEAST
    + LORA
    + """
rl: dpo
rl_beta: 0.2
dpo_loss_type: [hinge]
datasets:
  - path: pairs.jsonl
    type: chat_template.default
    field_messages: conversation
test_datasets:
  - path: held.jsonl
    type: chat_template.default
    field_messages: conversation
eval_steps: 20
excess_length_strategy: truncate
""",
    "axolotl-ipo": LEAST + "rl: ipo\ndatasets:\n  - path: pairs.jsonl\n    type: chat_template.argilla_chat\n",
    "axolotl-orpo": LEAST + "rl: orpo\norpo_alpha: 0.3\ndatasets:\n  - {path: p.jsonl, type: chat_template.argilla}\n",
    "axolotl-kto": LEAST
    + "rl: kto\nkto_desirable_weight: 0.5\ntrl: {beta: 0.2}\nremove_unused_columns: false\n"
    + "datasets:\n  - {path: judged.jsonl, type: {field_prompt: question, field_completion: answer}}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_the_spec(import_text, name):
    """Each file becomes exactly the kept spec; UPDATE_GOLDEN=1 writes them again, for review."""
    spec = dump_spec(import_text(FILES[name]).spec)

    assert golden(f"importers/golden/{name}.yaml", spec) == spec


REFUSED = {
    "fsdp_config": "fsdp_config: {fsdp_version: 2}",
    "deepspeed": "deepspeed: zero3.json",
    "lora_modules_to_save": f"{LORA}lora_modules_to_save: [embed_tokens]",
    "lora_target_modules": "adapter: lora\nlora_r: 8\nlora_alpha: 16",
    "lora_r": "adapter: lora\nlora_alpha: 16\nlora_target_linear: true",
    "adapter": "adapter: qlora\nlora_r: 8\nlora_alpha: 16\nlora_target_linear: true",
    "group_by_length": "group_by_length: true",
    "shuffle_merged_datasets": "shuffle_merged_datasets: false",
    "sample_packing": "sample_packing: true",
    "train_on_inputs": "train_on_inputs: true",
    "saves_per_epoch": "saves_per_epoch: 1",
    "evals_per_epoch": "evals_per_epoch: 4\nval_set_size: 0.1",
    "save_strategy": "save_strategy: epoch",
    "optimizer": "optimizer: muon",
    "lr_scheduler": "lr_scheduler: rex",
    "cosine_min_lr_ratio": "cosine_min_lr_ratio: 0.1",
    "special_tokens": "special_tokens: {eos_token: '<|im_end|>'}",
    "rl": "rl: simpo",
    "dpo_loss_type": "rl: dpo\ndpo_loss_type: [sigmoid, sft]",
    "trl": "rl: dpo\ntrl: {beta: 0.1, num_generations: 4}",
    "plugins": "plugins: [axolotl.integrations.kd.KDPlugin]",
    "chat_template": "chat_template: alpaca",
    "chat_template_jinja": "chat_template_jinja: '{{ messages }}'",
    "tokenizer_config": "tokenizer_config: org/other",
    "attn_implementation": "attn_implementation: flex_attention",
    "use_comet": "use_comet: true",
    "processor_type": "processor_type: AutoProcessor",
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_not_supported_is_refused(refusals, key):
    """The refusal names the key."""
    assert key in refusals(f"{LEAST}{CHAT}{REFUSED[key]}\n")


ROWS = {
    "type: alpaca": "datasets.type",
    "type: sharegpt": "datasets.type",
    "type: input_output": "datasets.type",
    "type: {field_instruction: q, field_output: a, format: 'Q: {instruction}'}": "datasets.type.format",
    "type: chat_template\n    roles_to_train: [user]": "datasets.roles_to_train",
    "type: chat_template\n    train_on_eos: last": "datasets.train_on_eos",
    "type: chat_template\n    roles: {assistant: [bot]}": "datasets.roles",
    "type: chat_template\n    message_property_mappings: {role: who}": "datasets.message_property_mappings",
    "type: chat_template\n    name: subset": "datasets.name",
    "type: chat_template\n    split: 'train[:100]'": "datasets.split",
    "type: chat_template\n    data_files: rows.parquet": "datasets.path",
    "type: chat_template\n    field_message: rows": "datasets.field_message",
}


@pytest.mark.parametrize("entry", ROWS)
def test_rows_that_are_not_supported(refusals, entry):
    """A dataset that cannot be read the same way is refused with its key."""
    assert ROWS[entry] in refusals(f"{LEAST}datasets:\n  - path: rows.jsonl\n    {entry}\n")


def test_a_type_that_axolotl_takes_no_more(refusals):
    """Older files have sharegpt; the error names the type that replaces it."""
    problem = refusals(f"{LEAST}datasets:\n  - path: rows.jsonl\n    type: sharegpt\n")["datasets.type"]

    assert "Axolotl no longer supports this type" in problem
    assert "type: chat_template reads the same rows" in problem


def test_several_datasets_of_one_kind_only(refusals):
    """Rows of two formats cannot be one dataset."""
    two = CHAT + "  - path: text.jsonl\n    type: completion\n"

    assert "several formats" in refusals(LEAST + two)["datasets"]


def test_a_system_text_beside_a_type_of_ones_own(refusals, tmp_path):
    """Axolotl writes a row's system text before the prompt although the file does not say so."""
    (tmp_path / "rows.jsonl").write_text('{"instruction": "1", "output": "2", "system": "3"}\n')
    row_type = "type: {format: '{instruction}', no_input_format: '{instruction}'}"

    assert "datasets.type.field_system" in refusals(f"{LEAST}datasets:\n  - path: rows.jsonl\n    {row_type}\n")


def test_a_template_in_a_file(import_text, tmp_path):
    """A Jinja file is used as it is."""
    (tmp_path / "mine.jinja").write_text("{{ messages }}")

    assert "mine.jinja" == import_text(LEAST + CHAT + "chat_template_jinja: mine.jinja\n").spec.dataset.chat_template


def test_each_key_is_in_one_table():
    """No key is in two of the tables, and every field that is named is one of the spec."""
    from ftsdk.spec.aliases import FIELDS

    tables = [KEYS.mapped.keys(), KEYS.dropped.keys(), KEYS.refused.keys()]
    mapped = {field for fields in KEYS.mapped.values() for field in fields.split(", ")}

    assert sum(map(len, tables)) == len(set().union(*tables))
    assert {"kernels"} == mapped - FIELDS.keys()
