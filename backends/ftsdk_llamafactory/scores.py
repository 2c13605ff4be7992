"""Convert reward models between LLaMA-Factory's form and the common one; copied beside LLaMA-Factory.

LLaMA-Factory keeps a language model and, beside it, a linear head in ``value_head.safetensors``. Transformers has a
sequence classifier with one label, whose head, ``score``, is a weight without a bias.
"""

import json
from pathlib import Path
from typing import Any

from ftsdk.engines.runner_support import RunnerError, version_mismatch

HEAD = "value_head.safetensors"
_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"
_CONFIG, _ADAPTER = "adapter_config.json", "adapter_model.safetensors"
_SCORE = "base_model.model.score.weight"
_LORA = ("r", "lora_alpha", "target_modules", "use_dora", "use_rslora", "bias", "rank_pattern", "alpha_pattern")
"""Settings of an adapter that its weights depend on; others differ between versions of PEFT."""


def to_classifier(output: Path) -> None:
    """Make a sequence classifier from the adapter that LLaMA-Factory has written.

    The head's bias is left out: it shifts every reward alike, and only differences were trained.
    """
    from safetensors.torch import load_file, save_file

    head = load_file(output / HEAD)[_WEIGHT]
    (output / HEAD).unlink()
    save_file({**load_file(output / _ADAPTER), _SCORE: head}, output / _ADAPTER, metadata={"format": "pt"})
    settings = json.loads((output / _CONFIG).read_text("utf-8"))
    settings |= {"task_type": "SEQ_CLS", "modules_to_save": ["score"]}
    (output / _CONFIG).write_text(json.dumps(settings, indent=2), "utf-8")


def from_classifier(source: str, revision: str | None, target: Path, tokenizer: Any) -> None:
    """Make of a sequence classifier, or of an adapter that is one, a whole reward model as LLaMA-Factory loads it.

    Args:
        source: A folder, or a name on the Hub.
        revision: The Hub's commit.
        target: The folder to write; a reward model that is there already is taken as it is.
        tokenizer: The policy's.

    Raises:
        RunnerError: It reads other tokens than the policy writes.
    """
    import torch
    from huggingface_hub import snapshot_download
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    if (target / HEAD).is_file():
        return
    folder = Path(source)
    if not folder.is_dir():
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    _check_tokens(folder, source, tokenizer)
    scorer = _scorer(folder, tokenizer)
    head = scorer.score.weight.detach().clone()
    writer = AutoModelForCausalLM.from_config(scorer.config, torch_dtype=scorer.dtype)
    writer.base_model.load_state_dict(scorer.base_model.state_dict())
    writer.save_pretrained(target)
    tokenizer.save_pretrained(target)
    save_file({_WEIGHT: head, _BIAS: torch.zeros(1)}, target / HEAD, metadata={"format": "pt"})


def _check_tokens(folder: Path, source: str, tokenizer: Any) -> None:
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file() or Tokenizer.from_file(str(file)).get_vocab() != tokenizer.get_vocab():
        problem = f"method.reward: the reward model {source} reads other tokens than the policy writes"
        raise RunnerError("engine_error", f"{problem}; train one on a base with the policy's tokenizer")


def _scorer(folder: Path, tokenizer: Any) -> Any:
    """The classifier, with its adapter in its weights."""
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForSequenceClassification

    if not (folder / _CONFIG).is_file():
        _check_age(folder)
        return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, torch_dtype="auto")
    settings = json.loads((folder / _CONFIG).read_text("utf-8"))
    base = settings["base_model_name_or_path"]
    _check_age(Path(base))
    model = AutoModelForSequenceClassification.from_pretrained(
        base, revision=settings.get("revision"), num_labels=1, torch_dtype="auto", pad_token_id=tokenizer.pad_token_id
    )
    # Newer PEFTs save settings that this one does not know, and refuses.
    lora = {name: settings[name] for name in _LORA if name in settings}
    config = LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], inference_mode=True, **lora)
    return PeftModel.from_pretrained(model, folder, config=config).merge_and_unload()


def _check_age(folder: Path) -> None:
    from transformers import __version__

    file = folder / "config.json"
    if file.is_file() and (problem := version_mismatch(json.loads(file.read_text("utf-8")), __version__)):
        raise RunnerError("engine_error", f"method.reward: {problem}")
