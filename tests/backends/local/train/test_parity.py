"""Our steps against plain TRL's: the same model, rows and seed give the same losses."""

import json

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny_models import metrics_of, tiny
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

pytestmark = [
    pytest.mark.engine,
    pytest.mark.numeric,
    pytest.mark.filterwarnings("ignore"),  # the libraries warn of each other's changes; ours are errors elsewhere
]

STEPS, BATCH = 6, 8


@pytest.fixture
def small_model(tmp_path, tiny_model):
    """A random Llama with a vocabulary of 32,000, and the tiny model's tokenizer."""
    folder = tmp_path / "model"
    tiny("Llama", vocab_size=32000, max_position_embeddings=512).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture
def real_rows(tmp_path, shared_data):
    """Real Alpaca rows as conversations, in a file for us and in a table for TRL."""
    rows = json.loads((shared_data / "alpaca_en_demo.json").read_text("utf-8"))[: STEPS * BATCH]
    messages = [
        {
            "messages": [
                {"role": "user", "content": "\n\n".join(filter(None, (row["instruction"], row["input"])))},
                {"role": "assistant", "content": row["output"]},
            ]
        }
        for row in rows
    ]
    path = tmp_path / "alpaca.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in messages), "utf-8")
    return path, Dataset.from_list(messages)


def losses_of_trl(model, rows, folder):
    """The loss of each step by TRL's own trainer."""
    torch.manual_seed(42)
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, quantization_config=quantization, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder),
            per_device_train_batch_size=BATCH,
            max_steps=STEPS,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            max_length=256,
            assistant_only_loss=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            seed=42,
            data_seed=42,
            weight_decay=0.0,
        ),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    for parameter in trainer.model.parameters():  # TRL holds them in bfloat16, where 1e-4 means nothing
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_losses_agree_with_plain_trl(small_model, real_rows, make_spec, train, tmp_path):
    """On real rows, an nf4 base and the same batches, each step's loss is TRL's to 1e-4."""
    path, table = real_rows
    spec = make_spec(
        model=str(small_model),
        dataset=str(path),
        training={
            "max_steps": STEPS,
            "global_batch_size": BATCH,
            "lr_scheduler_type": "constant",
            "warmup_steps": 0,
            "max_length": 256,
        },
    )

    losses = metrics_of(train(spec), "loss")

    assert losses == pytest.approx(losses_of_trl(small_model, table, tmp_path / "trl"), abs=1e-4)
