"""Read what is learned, and into which weights, from an Axolotl file: model, method, adapter."""

from ftsdk.importers.importer import ConfigReader
from ftsdk_axolotl.importer.defaults import DEFAULTS

METHODS = {"dpo": "dpo", "ipo": "dpo", "kto": "kto", "orpo": "orpo"}
LOSSES = {"sigmoid": "sigmoid", "hinge": "hinge", "ipo": "ipo"}
INITS = {"true": "default", "gaussian": "gaussian", "pissa": "pissa", "olora": "olora"}


def read_model(reader: ConfigReader) -> str:
    """Set ``model``, and return it."""
    model = reader.text("base_model", "")
    if not model:
        reader.refuse("base_model", "Axolotl needs a model")
    reader.set_field("model", model, "base_model")
    for key in ("model_revision", "revision_of_model"):
        if reader.has(key):
            reader.set_field("model_revision", reader.value(key), key)
    for key in ("tokenizer_config", "base_model_config"):
        if reader.value(key, model) != model:
            reader.refuse(key, "model and tokenizer come from one place", "save both in one folder, and name that")
    reader.copy("trust_remote_code", DEFAULTS["trust_remote_code"], "trust_remote_code")
    tokens = reader.section("special_tokens", {})
    if {name for name, token in tokens.items() if token} - {"pad_token"}:
        reason = "it changes how rows begin and end"
        reader.refuse("special_tokens", reason, "keep pad_token alone, or save the changed tokenizer with the model")
    elif tokens:
        reader.drop("special_tokens", "padding is never learned")
    return model


def read_method(reader: ConfigReader) -> str:
    """Set ``method``, and return its type."""
    if reader.flag("reward_model"):
        reader.copy(
            "center_rewards_coefficient", DEFAULTS["center_rewards_coefficient"], "method.center_rewards_coefficient"
        )
        reader.set_field("method.type", "reward_modeling", "reward_model")
        return "reward_modeling"
    if not reader.has("rl"):
        reader.value("rl")
        reader.set_field("method.type", "sft")
        return "sft"
    kind = reader.value("rl")
    method = str(reader.choice("rl", "", METHODS))
    reader.set_field("method.type", method, "rl")
    _beta(reader)
    if method == "dpo":
        losses = ["ipo"] if kind == "ipo" else reader.texts("dpo_loss_type", ["sigmoid"])
        if len(losses) == 1 and losses[0] in LOSSES:
            reader.set_field("method.loss_type", LOSSES[losses[0]], "dpo_loss_type" if kind != "ipo" else "rl")
        else:
            reader.refuse("dpo_loss_type", "this loss is not supported", f"one of {', '.join(LOSSES)}")
        if kind != "ipo":
            reader.copy("dpo_label_smoothing", DEFAULTS["dpo_label_smoothing"], "method.label_smoothing")
    elif method == "kto":
        reader.copy("kto_desirable_weight", DEFAULTS["kto_desirable_weight"], "method.desirable_weight")
        reader.copy("kto_undesirable_weight", DEFAULTS["kto_undesirable_weight"], "method.undesirable_weight")
    return method


def _beta(reader: ConfigReader) -> None:
    """Axolotl looks at these keys one after the other."""
    trl = reader.section("trl", {})
    if trl.keys() - {"beta"}:
        reader.refuse("trl", "of TRL's settings, only beta has an equal", "keep beta alone")
        return
    if "beta" in trl:
        reader.set_field("method.beta", trl["beta"], "trl")
        return
    key = next((key for key in ("rl_beta", "dpo_beta", "orpo_alpha") if reader.has(key)), "rl_beta")
    reader.set_field("method.beta", reader.number(key, DEFAULTS["rl_beta"]), key)


def read_adapter(reader: ConfigReader) -> None:
    """Set ``adapter``, and the quantization that Axolotl ties to it."""
    kind = reader.value("adapter")
    four, eight = reader.flag("load_in_4bit"), reader.flag("load_in_8bit")
    if not kind:
        reader.set_field("adapter", None, "adapter")
        if four or eight:
            reader.refuse("load_in_4bit" if four else "load_in_8bit", "the base is frozen, and nothing would train", "")
        return
    if kind not in ("lora", "qlora"):
        reader.refuse("adapter", "this adapter is not supported", "lora or qlora")
        return
    if (kind == "qlora") != four or (four and eight):
        reader.refuse("adapter", "Axolotl loads 4 bits with qlora, and 8 bits or none with lora", "make them agree")
    if four:
        _four_bits(reader)
    elif eight:
        reader.set_field("compute.quantization", "int8", "load_in_8bit")
    for key in ("lora_r", "lora_alpha"):
        if not reader.has(key):
            reader.refuse(key, "Axolotl has no default for it", f"{key}: N")
        reader.set_field("adapter.r" if key == "lora_r" else "adapter.alpha", reader.number(key), key)
    reader.copy("lora_dropout", DEFAULTS["lora_dropout"], "adapter.dropout")
    reader.copy("peft_use_dora", DEFAULTS["peft_use_dora"], "adapter.use_dora")
    reader.copy("peft_use_rslora", DEFAULTS["peft_use_rslora"], "adapter.use_rslora")
    init = str(reader.value("peft_init_lora_weights", default=True)).lower()
    if init in INITS:
        reader.set_field("adapter.init", INITS[init], "peft_init_lora_weights")
    else:
        reader.refuse("peft_init_lora_weights", "this initialization is not supported", f"one of {', '.join(INITS)}")
    _targets(reader)


def _targets(reader: ConfigReader) -> None:
    modules, linear = reader.value("lora_target_modules"), reader.flag("lora_target_linear")
    if linear:
        if modules:
            reader.drop("lora_target_modules", "lora_target_linear takes them all")
        reader.set_field("adapter.target_modules", "all-linear", "lora_target_linear")
    elif isinstance(modules, list) and modules:
        reader.set_field("adapter.target_modules", modules, "lora_target_modules")
    else:
        reason = "a pattern of names is not supported" if modules else "PEFT would choose them by the model"
        reader.refuse("lora_target_modules", reason, "list them, or lora_target_linear: true")


def _four_bits(reader: ConfigReader) -> None:
    more = reader.section("bnb_config_kwargs", {})
    kind, doubled = more.get("bnb_4bit_quant_type", "nf4"), more.get("bnb_4bit_use_double_quant", True)
    if more.keys() - {"bnb_4bit_quant_type", "bnb_4bit_use_double_quant"} or kind not in ("nf4", "fp4"):
        reader.refuse("bnb_config_kwargs", "only the type and double quantization are supported", "keep those alone")
    reader.set_field("compute.quantization", kind, "load_in_4bit")
    reader.set_field("compute.double_quantization", doubled, "bnb_config_kwargs")
