"""Read how an Axolotl file fits a machine, and where it reports."""

from ftsdk.importers.common import JOB_NAME
from ftsdk.importers.importer import ConfigReader

ATTENTION = {"sdpa": "sdpa", "eager": "eager", "flash_attention_2": "flash_attention_2"}
_FLAGS = {
    "xformers_attention": "xformers",
    "sage_attention": "sage",
    "flex_attention": "flex_attention",
    "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa",
    "eager_attention": "eager",
}
"""Old switches, the first of which counts."""
KERNELS = ("liger.LigerPlugin", "cut_cross_entropy.CutCrossEntropyPlugin")
TRACKERS = {"wandb": "wandb_project", "mlflow": "mlflow_experiment_name", "tensorboard": "", "trackio": ""}
"""From a tracker to the key that also turns it on."""


def read_machine(reader: ConfigReader) -> None:
    """Set ``compute``, ``report_to``, ``name`` and what is pushed to the Hub."""
    _precision(reader)
    _kernels(reader)
    _reports(reader)


def _precision(reader: ConfigReader) -> None:
    bf16 = reader.value("bf16", reader.value("bfloat16", "auto"))
    if bf16 != "auto":
        bf16 = reader.flag("bf16" if reader.has("bf16") else "bfloat16")
    half = reader.flag("fp16")
    dtype = "bfloat16" if bf16 is True else "float16" if half else "auto" if bf16 == "auto" else "float32"
    reader.set_field("compute.dtype", dtype, "bf16" if reader.has("bf16") or not half else "fp16")
    checkpointing = reader.value("gradient_checkpointing", default=False)
    if checkpointing in ("offload", "offload_disk", "unsloth"):
        reader.drop("gradient_checkpointing", f"{checkpointing}: it is on, and nothing is moved off the device")
        checkpointing = True
    reader.set_field("compute.gradient_checkpointing", checkpointing, "gradient_checkpointing")


def _kernels(reader: ConfigReader) -> None:
    flags = [flag for flag in _FLAGS if reader.flag(flag)]
    key = flags[0] if flags else "attn_implementation"
    name = _FLAGS[key] if flags else reader.value(key, "auto")
    attention = "auto" if name == "auto" else ATTENTION.get(str(name))
    if attention is None:
        reader.refuse(key, "this kernel is not supported", f"one of {', '.join(ATTENTION)}", field="compute.attention")
    reader.set_field("compute.attention", attention, key)
    if reader.fields["training.packing"]:
        if attention == "auto":
            reason = "without attn_implementation, Axolotl lets packed rows attend to each other"
            reader.refuse("sample_packing", reason, "attn_implementation: sdpa or flash_attention_2")
        reader.note("sample_packing", "Axolotl fills its sequences in another order")
    for plugin in reader.texts("plugins"):
        if not plugin.endswith(KERNELS):
            reader.refuse("plugins", f"{plugin} is not supported", "remove it")
        else:
            reader.drop("plugins", "how the same numbers are computed; ftsdk chooses it for the machine")


def _reports(reader: ConfigReader) -> None:
    trackers = []
    for tracker, also in TRACKERS.items():
        project = reader.value(also) if also else None
        if reader.flag(f"use_{tracker}") or project:
            trackers.append(tracker)
        if project:
            reader.drop(also, f"set {also.upper()} in the environment, from where the tracker reads it")
    reader.set_field("report_to", trackers)
    for key in ("wandb_name", "mlflow_run_name", "trackio_run_name"):
        if reader.has(key) and JOB_NAME.fullmatch(str(reader.value(key))):
            reader.set_field("name", str(reader.value(key)), key)
    if reader.has("hub_model_id"):
        reader.set_field("push_to_hub", True, "hub_model_id")
        reader.set_field("hub_model_id", reader.value("hub_model_id"), "hub_model_id")
