"""Read what is learned, and into which weights, from a LLaMA-Factory file: model, method, adapter."""

from ftsdk.importers.importer import ConfigReader
from ftsdk_llamafactory.importer.defaults import DEFAULTS
from ftsdk_llamafactory.translate import ADAPTER

STAGES = {"sft": "sft", "pt": "sft", "dpo": "dpo", "kto": "kto", "rm": "reward_modeling", "ppo": "ppo"}
LOSSES = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo", "orpo": "orpo"}


def read_model(reader: ConfigReader) -> str:
    """Set ``model``, and return it."""
    model = reader.text("model_name_or_path", "")
    if not model:
        reader.refuse("model_name_or_path", "LLaMA-Factory needs a model")
    reader.set_field("model", model, "model_name_or_path")
    if (revision := reader.value("model_revision", "main")) != "main":
        reader.set_field("model_revision", revision, "model_revision")
    reader.copy("trust_remote_code", DEFAULTS["trust_remote_code"], "trust_remote_code")
    if not reader.flag("do_train"):
        reader.refuse("do_train", "without it, LLaMA-Factory trains nothing", "do_train: true")
    return model


def read_method(reader: ConfigReader) -> str:
    """Set ``method``, and return LLaMA-Factory's stage."""
    stage = str(reader.value("stage", DEFAULTS["stage"]))
    method = reader.choice("stage", DEFAULTS["stage"], STAGES)
    if method == "ppo":
        reason = "its PPO draws answers with top_p and top_k, and steers the KL by a horizon"
        reader.refuse("stage", reason, "write the job by hand: docs/methods/ppo.md")
    elif method == "dpo":
        loss = reader.choice("pref_loss", DEFAULTS["pref_loss"], LOSSES)
        method = "orpo" if loss == "orpo" else "dpo"
        reader.copy("pref_beta", DEFAULTS["pref_beta"], "method.beta")
        if method == "dpo":
            reader.set_field("method.loss_type", loss, "pref_loss")
            reader.copy("dpo_label_smoothing", DEFAULTS["dpo_label_smoothing"], "method.label_smoothing")
    elif method == "kto":
        reader.copy("pref_beta", DEFAULTS["pref_beta"], "method.beta")
        reader.copy("kto_chosen_weight", DEFAULTS["kto_chosen_weight"], "method.desirable_weight")
        reader.copy("kto_rejected_weight", DEFAULTS["kto_rejected_weight"], "method.undesirable_weight")
    elif method == "reward_modeling":
        reader.note("stage", "LLaMA-Factory's score is a value head's; ftsdk's is a classification head's")
    elif method == "sft":
        _train_on(reader, stage)
    reader.set_field("method.type", method, "stage")
    return stage


def _train_on(reader: ConfigReader, stage: str) -> None:
    """Which tokens carry loss: LLaMA-Factory masks the user's turns."""
    on_prompt, last = reader.flag("train_on_prompt"), reader.flag("mask_history")
    if on_prompt and last:
        reader.refuse("mask_history", "contradicts train_on_prompt", "keep one of them")
    train_on = "all" if on_prompt or stage == "pt" else "completion" if last else "assistant"
    reader.set_field("method.train_on", train_on, "mask_history" if last else "train_on_prompt")


def read_adapter(reader: ConfigReader) -> None:
    """Set ``adapter``."""
    kind = reader.choice("finetuning_type", DEFAULTS["finetuning_type"], {"lora": "lora", "full": "full"})
    if kind == "full":
        reader.set_field("adapter", None, "finetuning_type")
    if kind != "lora":
        return
    for field, key in ADAPTER.items():
        reader.copy(key, DEFAULTS[key], field)
    alpha = reader.number("lora_alpha") or 2 * reader.number("lora_rank", DEFAULTS["lora_rank"])
    reader.set_field("adapter.alpha", alpha, "lora_alpha", default=f"adapter.alpha: {alpha}, twice lora_rank")
    names = reader.texts("lora_target", [DEFAULTS["lora_target"]])
    reader.set_field("adapter.target_modules", "all-linear" if names == ["all"] else names, "lora_target")
    if reader.flag("pissa_init"):
        if reader.number("pissa_iter", 16) == -1:
            reader.set_field("adapter.init", "pissa", "pissa_init")
        else:
            reader.refuse("pissa_init", "a fast decomposition is not supported", "pissa_iter: -1, which is exact")
