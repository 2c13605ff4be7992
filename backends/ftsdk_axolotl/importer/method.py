"""Read what is learned, and into which weights, from an Axolotl file: model, method, adapter."""

from ftsdk.importers.importer import Sheet
from ftsdk_axolotl.importer.defaults import DEFAULTS

METHODS = {"dpo": "dpo", "ipo": "dpo", "kto": "kto", "orpo": "orpo"}
LOSSES = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo"}
INITS = {"true": "default", "gaussian": "gaussian", "pissa": "pissa", "olora": "olora"}


def read_model(sheet: Sheet) -> str:
    """Set ``model``, and give it."""
    model = sheet.text("base_model", "")
    if not model:
        sheet.refuse("base_model", "Axolotl needs a model")
    sheet.put("model", model, "base_model")
    for key in ("model_revision", "revision_of_model"):
        if sheet.has(key):
            sheet.put("model_revision", sheet.value(key), key)
    for key in ("tokenizer_config", "base_model_config"):
        if sheet.value(key, model) != model:
            sheet.refuse(key, "model and tokenizer come from one place", "save both in one folder, and name that")
    sheet.copy("trust_remote_code", DEFAULTS["trust_remote_code"], "trust_remote_code")
    tokens = sheet.section("special_tokens", {})
    if {name for name, token in tokens.items() if token} - {"pad_token"}:
        what = "it changes how rows begin and end"
        sheet.refuse("special_tokens", what, "keep pad_token alone, or save the changed tokenizer with the model")
    elif tokens:
        sheet.drop("special_tokens", "padding is never learned")
    return model


def read_method(sheet: Sheet) -> str:
    """Set ``method``, and give its type."""
    if sheet.flag("reward_model"):
        sheet.copy(
            "center_rewards_coefficient", DEFAULTS["center_rewards_coefficient"], "method.center_rewards_coefficient"
        )
        sheet.put("method.type", "reward_modeling", "reward_model")
        return "reward_modeling"
    if not sheet.has("rl"):
        sheet.value("rl")
        sheet.put("method.type", "sft")
        return "sft"
    kind = sheet.value("rl")
    method = str(sheet.word("rl", "", METHODS))
    sheet.put("method.type", method, "rl")
    _beta(sheet)
    if method == "dpo":
        losses = ["ipo"] if kind == "ipo" else sheet.several("dpo_loss_type", ["sigmoid"])
        if len(losses) == 1 and losses[0] in LOSSES:
            sheet.put("method.loss_type", LOSSES[losses[0]], "dpo_loss_type" if kind != "ipo" else "rl")
        else:
            sheet.refuse("dpo_loss_type", "this loss has no equal here", f"one of {', '.join(LOSSES)}")
        if kind != "ipo":
            sheet.copy("dpo_label_smoothing", DEFAULTS["dpo_label_smoothing"], "method.label_smoothing")
    elif method == "kto":
        sheet.copy("kto_desirable_weight", DEFAULTS["kto_desirable_weight"], "method.desirable_weight")
        sheet.copy("kto_undesirable_weight", DEFAULTS["kto_undesirable_weight"], "method.undesirable_weight")
    return method


def _beta(sheet: Sheet) -> None:
    """Axolotl looks at these keys one after the other."""
    trl = sheet.section("trl", {})
    if trl.keys() - {"beta"}:
        sheet.refuse("trl", "of TRL's settings, only beta has an equal", "keep beta alone")
        return
    if "beta" in trl:
        sheet.put("method.beta", trl["beta"], "trl")
        return
    key = next((key for key in ("rl_beta", "dpo_beta", "orpo_alpha") if sheet.has(key)), "rl_beta")
    sheet.put("method.beta", sheet.number(key, DEFAULTS["rl_beta"]), key)


def read_adapter(sheet: Sheet) -> None:
    """Set ``adapter``, and the quantization that Axolotl ties to it."""
    kind = sheet.value("adapter")
    four, eight = sheet.flag("load_in_4bit"), sheet.flag("load_in_8bit")
    if not kind:
        sheet.put("adapter", None, "adapter")
        if four or eight:
            sheet.refuse("load_in_4bit" if four else "load_in_8bit", "the base is frozen, and nothing would train", "")
        return
    if kind not in ("lora", "qlora"):
        sheet.refuse("adapter", "this adapter has no equal here", "lora or qlora")
        return
    if (kind == "qlora") != four or (four and eight):
        sheet.refuse("adapter", "Axolotl loads 4 bits with qlora, and 8 bits or none with lora", "make them agree")
    if four:
        _four_bits(sheet)
    elif eight:
        sheet.put("compute.quantization", "int8", "load_in_8bit")
    for key in ("lora_r", "lora_alpha"):
        if not sheet.has(key):
            sheet.refuse(key, "Axolotl has no default for it", f"{key}: N")
        sheet.put("adapter.r" if key == "lora_r" else "adapter.alpha", sheet.number(key), key)
    sheet.copy("lora_dropout", DEFAULTS["lora_dropout"], "adapter.dropout")
    sheet.copy("peft_use_dora", DEFAULTS["peft_use_dora"], "adapter.use_dora")
    sheet.copy("peft_use_rslora", DEFAULTS["peft_use_rslora"], "adapter.use_rslora")
    init = str(sheet.value("peft_init_lora_weights", default=True)).lower()
    if init in INITS:
        sheet.put("adapter.init", INITS[init], "peft_init_lora_weights")
    else:
        sheet.refuse("peft_init_lora_weights", "this beginning has no equal here", f"one of {', '.join(INITS)}")
    _targets(sheet)


def _targets(sheet: Sheet) -> None:
    modules, linear = sheet.value("lora_target_modules"), sheet.flag("lora_target_linear")
    if linear:
        if modules:
            sheet.drop("lora_target_modules", "lora_target_linear takes them all")
        sheet.put("adapter.target_modules", "all-linear", "lora_target_linear")
    elif isinstance(modules, list) and modules:
        sheet.put("adapter.target_modules", modules, "lora_target_modules")
    else:
        what = "a pattern of names has no equal here" if modules else "PEFT would choose them by the model"
        sheet.refuse("lora_target_modules", what, "list them, or lora_target_linear: true")


def _four_bits(sheet: Sheet) -> None:
    more = sheet.section("bnb_config_kwargs", {})
    kind, doubled = more.get("bnb_4bit_quant_type", "nf4"), more.get("bnb_4bit_use_double_quant", True)
    if more.keys() - {"bnb_4bit_quant_type", "bnb_4bit_use_double_quant"} or kind not in ("nf4", "fp4"):
        sheet.refuse("bnb_config_kwargs", "only the type and double quantization have an equal", "keep those alone")
    sheet.put("compute.quantization", kind, "load_in_4bit")
    sheet.put("compute.double_quantization", doubled, "bnb_config_kwargs")
