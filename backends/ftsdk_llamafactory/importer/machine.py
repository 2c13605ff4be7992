"""Read how a LLaMA-Factory file fits a machine, and where it reports."""

from ftsdk.importers.common import JOB_NAME
from ftsdk.importers.importer import ConfigReader
from ftsdk_llamafactory.importer.defaults import DEFAULTS
from ftsdk_llamafactory.translate import ATTENTION, NAME, QUANTIZATIONS

TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")


def read_machine(reader: ConfigReader) -> None:
    """Set ``compute``, ``report_to``, ``name`` and what is pushed to the Hub."""
    _compute(reader)
    _reports(reader)


def _compute(reader: ConfigReader) -> None:
    _quantization(reader)
    bf16, fp16 = reader.flag("bf16"), reader.flag("fp16")
    if bf16 and fp16:
        reader.refuse("fp16", "contradicts bf16", "keep one of them")
    note = "compute.dtype: float32, which here means no mixed precision"
    dtype = "bfloat16" if bf16 else "float16" if fp16 else "float32"
    reader.set_field("compute.dtype", dtype, "fp16" if fp16 else "bf16", default=note)
    kernels = {native: attention for attention, native in ATTENTION.items()}
    reader.set_field("compute.attention", reader.choice("flash_attn", DEFAULTS["flash_attn"], kernels), "flash_attn")
    checkpointing = not reader.flag("disable_gradient_checkpointing") or reader.flag("gradient_checkpointing")
    reader.set_field("compute.gradient_checkpointing", checkpointing, "disable_gradient_checkpointing")
    if reader.flag("use_cpu"):
        reader.set_field(f"backend_options.{NAME}.device", "cpu", "use_cpu")
    if reader.flag("enable_liger_kernel"):
        reader.set_field(f"backend_options.{NAME}.enable_liger_kernel", True, "enable_liger_kernel")


def _quantization(reader: ConfigReader) -> None:
    bits = reader.number("quantization_bit")
    if bits is None:
        return
    kind = reader.value("quantization_type", DEFAULTS["quantization_type"]) if bits == 4 else ""
    settings = {"quantization_bit": bits} | ({"quantization_type": kind} if kind else {})
    names = [name for name, native in QUANTIZATIONS.items() if native == settings]
    if str(reader.value("quantization_method", "bnb")).lower() not in ("bnb", "bitsandbytes"):
        reader.refuse("quantization_method", "the base is quantized by bitsandbytes", "quantization_method: bnb")
    elif not names:
        reader.refuse("quantization_bit", "these bits are not supported", "4 with nf4 or fp4, or 8")
    else:
        reader.set_field("compute.quantization", names[0], "quantization_bit")
        if bits == 4:
            reader.copy("double_quantization", DEFAULTS["double_quantization"], "compute.double_quantization")


def _reports(reader: ConfigReader) -> None:
    trackers = [name for name in reader.texts("report_to", [DEFAULTS["report_to"]]) if name not in ("none", "")]
    if odd := [name for name in trackers if name not in TRACKERS]:
        reader.refuse("report_to", f"{', '.join(odd)}: not supported", f"supported: {', '.join(TRACKERS)}")
    else:
        reader.set_field("report_to", trackers, "report_to")
    name = reader.value("run_name")
    if name is not None and JOB_NAME.fullmatch(str(name)):
        reader.set_field("name", str(name), "run_name")
    elif name is not None:
        reader.drop("run_name", "has letters that a job's name may not have")
    if reader.flag("push_to_hub"):
        reader.set_field("push_to_hub", True, "push_to_hub")
        if reader.has("hub_model_id"):
            reader.set_field("hub_model_id", reader.value("hub_model_id"), "hub_model_id")
