"""Read how an Axolotl file fits a machine, and what it tells to whom."""

from ftsdk.importers.common import JOB_NAME
from ftsdk.importers.importer import Sheet

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


def read_machine(sheet: Sheet) -> None:
    """Set ``compute``, ``report_to``, ``name`` and what is pushed to the Hub."""
    _precision(sheet)
    _kernels(sheet)
    _reports(sheet)


def _precision(sheet: Sheet) -> None:
    bf16 = sheet.value("bf16", sheet.value("bfloat16", "auto"))
    if bf16 != "auto":
        bf16 = sheet.flag("bf16" if sheet.has("bf16") else "bfloat16")
    half = sheet.flag("fp16")
    dtype = "bfloat16" if bf16 is True else "float16" if half else "auto" if bf16 == "auto" else "float32"
    sheet.put("compute.dtype", dtype, "bf16" if sheet.has("bf16") or not half else "fp16")
    checkpointing = sheet.value("gradient_checkpointing", default=False)
    if checkpointing in ("offload", "offload_disk", "unsloth"):
        sheet.drop("gradient_checkpointing", f"{checkpointing}: it is on, and nothing is moved off the device")
        checkpointing = True
    sheet.put("compute.gradient_checkpointing", checkpointing, "gradient_checkpointing")


def _kernels(sheet: Sheet) -> None:
    flags = [flag for flag in _FLAGS if sheet.flag(flag)]
    key = flags[0] if flags else "attn_implementation"
    name = _FLAGS[key] if flags else sheet.value(key, "auto")
    attention = "auto" if name == "auto" else ATTENTION.get(str(name))
    if attention is None:
        sheet.refuse(key, "this kernel has no equal here", f"one of {', '.join(ATTENTION)}", field="compute.attention")
    sheet.put("compute.attention", attention, key)
    if sheet.fields["training.packing"]:
        if attention == "auto":
            what = "without attn_implementation, Axolotl lets packed rows see each other"
            sheet.refuse("sample_packing", what, "attn_implementation: sdpa or flash_attention_2")
        sheet.differ("sample_packing", "Axolotl fills its sequences in another order")
    for plugin in sheet.several("plugins"):
        if not plugin.endswith(KERNELS):
            sheet.refuse("plugins", f"{plugin} has no equal here", "take it out")
        else:
            sheet.drop("plugins", "how the same numbers are computed; ftsdk chooses it for the machine")


def _reports(sheet: Sheet) -> None:
    wanted = []
    for tracker, also in TRACKERS.items():
        project = sheet.value(also) if also else None
        if sheet.flag(f"use_{tracker}") or project:
            wanted.append(tracker)
        if project:
            sheet.drop(also, f"set {also.upper()} in the environment, from where the tracker reads it")
    sheet.put("report_to", wanted)
    for key in ("wandb_name", "mlflow_run_name", "trackio_run_name"):
        if sheet.has(key) and JOB_NAME.fullmatch(str(sheet.value(key))):
            sheet.put("name", str(sheet.value(key)), key)
    if sheet.has("hub_model_id"):
        sheet.put("push_to_hub", True, "hub_model_id")
        sheet.put("hub_model_id", sheet.value("hub_model_id"), "hub_model_id")
