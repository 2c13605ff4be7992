"""Read what is learned, and into which weights, from a LLaMA-Factory file: model, method, adapter."""

from ftsdk.importers.importer import Sheet
from ftsdk_llamafactory.importer.defaults import DEFAULTS
from ftsdk_llamafactory.translate import ADAPTER

STAGES = {"sft": "sft", "pt": "sft", "dpo": "dpo", "kto": "kto", "rm": "reward_modeling", "ppo": "ppo"}
LOSSES = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo", "orpo": "orpo"}


def read_model(sheet: Sheet) -> str:
    """Set ``model``, and give it."""
    model = sheet.text("model_name_or_path", "")
    if not model:
        sheet.refuse("model_name_or_path", "LLaMA-Factory needs a model")
    sheet.put("model", model, "model_name_or_path")
    if (revision := sheet.value("model_revision", "main")) != "main":
        sheet.put("model_revision", revision, "model_revision")
    sheet.copy("trust_remote_code", DEFAULTS["trust_remote_code"], "trust_remote_code")
    if not sheet.flag("do_train"):
        sheet.refuse("do_train", "without it, LLaMA-Factory trains nothing", "do_train: true")
    return model


def read_method(sheet: Sheet) -> str:
    """Set ``method``, and give LLaMA-Factory's stage."""
    stage = str(sheet.value("stage", DEFAULTS["stage"]))
    method = sheet.word("stage", DEFAULTS["stage"], STAGES)
    if method == "ppo":
        what = "its PPO draws answers with top_p and top_k, and steers the KL by a horizon"
        sheet.refuse("stage", what, "write the job anew: docs/methods/ppo.md")
    elif method == "dpo":
        loss = sheet.word("pref_loss", DEFAULTS["pref_loss"], LOSSES)
        method = "orpo" if loss == "orpo" else "dpo"
        sheet.copy("pref_beta", DEFAULTS["pref_beta"], "method.beta")
        if method == "dpo":
            sheet.put("method.loss_type", loss, "pref_loss")
            sheet.copy("dpo_label_smoothing", DEFAULTS["dpo_label_smoothing"], "method.label_smoothing")
    elif method == "kto":
        sheet.copy("pref_beta", DEFAULTS["pref_beta"], "method.beta")
        sheet.copy("kto_chosen_weight", DEFAULTS["kto_chosen_weight"], "method.desirable_weight")
        sheet.copy("kto_rejected_weight", DEFAULTS["kto_rejected_weight"], "method.undesirable_weight")
    elif method == "reward_modeling":
        sheet.differ("stage", "LLaMA-Factory's score is a value head's; ftsdk's is a classification head's")
    elif method == "sft":
        _train_on(sheet, stage)
    sheet.put("method.type", method, "stage")
    return stage


def _train_on(sheet: Sheet, stage: str) -> None:
    """Which tokens carry loss: LLaMA-Factory masks what the user says, turn by turn."""
    whole, last = sheet.flag("train_on_prompt"), sheet.flag("mask_history")
    if whole and last:
        sheet.refuse("mask_history", "contradicts train_on_prompt", "keep one of them")
    train_on = "all" if whole or stage == "pt" else "completion" if last else "assistant"
    sheet.put("method.train_on", train_on, "mask_history" if last else "train_on_prompt")


def read_adapter(sheet: Sheet) -> None:
    """Set ``adapter``."""
    kind = sheet.word("finetuning_type", DEFAULTS["finetuning_type"], {"lora": "lora", "full": "full"})
    if kind == "full":
        sheet.put("adapter", None, "finetuning_type")
    if kind != "lora":
        return
    for field, key in ADAPTER.items():
        sheet.copy(key, DEFAULTS[key], field)
    alpha = sheet.number("lora_alpha") or 2 * sheet.number("lora_rank", DEFAULTS["lora_rank"])
    sheet.put("adapter.alpha", alpha, "lora_alpha", default=f"adapter.alpha: {alpha}, twice lora_rank")
    names = sheet.several("lora_target", [DEFAULTS["lora_target"]])
    sheet.put("adapter.target_modules", "all-linear" if names == ["all"] else names, "lora_target")
    if sheet.flag("pissa_init"):
        if sheet.number("pissa_iter", 16) == -1:
            sheet.put("adapter.init", "pissa", "pissa_init")
        else:
            sheet.refuse("pissa_init", "a fast decomposition has no equal", "pissa_iter: -1, which is exact")
