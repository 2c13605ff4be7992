"""Read how a LLaMA-Factory file fits a machine, and what it tells to whom."""

from ftsdk.importers.common import JOB_NAME
from ftsdk.importers.importer import Sheet
from ftsdk_llamafactory.importer.defaults import DEFAULTS
from ftsdk_llamafactory.translate import ATTENTION, NAME, QUANTIZATIONS

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


def read_machine(sheet: Sheet) -> None:
    """Set ``compute``, ``report_to``, ``name`` and what is pushed to the Hub."""
    _compute(sheet)
    _reports(sheet)


def _compute(sheet: Sheet) -> None:
    _quantization(sheet)
    bf16, fp16 = sheet.flag("bf16"), sheet.flag("fp16")
    if bf16 and fp16:
        sheet.refuse("fp16", "contradicts bf16", "keep one of them")
    told = "compute.dtype: float32, which here means no mixed precision"
    dtype = "bfloat16" if bf16 else "float16" if fp16 else "float32"
    sheet.put("compute.dtype", dtype, "fp16" if fp16 else "bf16", default=told)
    ours = {theirs: attention for attention, theirs in ATTENTION.items()}
    sheet.put("compute.attention", sheet.word("flash_attn", DEFAULTS["flash_attn"], ours), "flash_attn")
    checkpointing = not sheet.flag("disable_gradient_checkpointing") or sheet.flag("gradient_checkpointing")
    sheet.put("compute.gradient_checkpointing", checkpointing, "disable_gradient_checkpointing")
    if sheet.flag("use_cpu"):
        sheet.put(f"backend_options.{NAME}.device", "cpu", "use_cpu")
    if sheet.flag("enable_liger_kernel"):
        sheet.put(f"backend_options.{NAME}.enable_liger_kernel", True, "enable_liger_kernel")


def _quantization(sheet: Sheet) -> None:
    bits = sheet.number("quantization_bit")
    if bits is None:
        return
    kind = sheet.value("quantization_type", DEFAULTS["quantization_type"]) if bits == 4 else ""
    asked = {"quantization_bit": bits} | ({"quantization_type": kind} if kind else {})
    found = [name for name, native in QUANTIZATIONS.items() if native == asked]
    if str(sheet.value("quantization_method", "bnb")).lower() not in ("bnb", "bitsandbytes"):
        sheet.refuse("quantization_method", "the base is quantized by bitsandbytes", "quantization_method: bnb")
    elif not found:
        sheet.refuse("quantization_bit", "these bits have no equal here", "4 with nf4 or fp4, or 8")
    else:
        sheet.put("compute.quantization", found[0], "quantization_bit")
        if bits == 4:
            sheet.copy("double_quantization", DEFAULTS["double_quantization"], "compute.double_quantization")


def _reports(sheet: Sheet) -> None:
    wanted = [name for name in sheet.several("report_to", [DEFAULTS["report_to"]]) if name not in ("none", "")]
    if odd := [name for name in wanted if name not in TRACKERS]:
        sheet.refuse("report_to", f"{', '.join(odd)}: not spoken to", f"those that are: {', '.join(TRACKERS)}")
    else:
        sheet.put("report_to", wanted, "report_to")
    name = sheet.value("run_name")
    if name is not None and JOB_NAME.fullmatch(str(name)):
        sheet.put("name", str(name), "run_name")
    elif name is not None:
        sheet.drop("run_name", "has letters that a job's name may not have")
    if sheet.flag("push_to_hub"):
        sheet.put("push_to_hub", True, "push_to_hub")
        if sheet.has("hub_model_id"):
            sheet.put("hub_model_id", sheet.value("hub_model_id"), "hub_model_id")
