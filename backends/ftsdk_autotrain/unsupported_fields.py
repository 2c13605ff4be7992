"""What AutoTrain cannot be told, as tables. Read in its source, version 0.8.36."""

from ftsdk.translation.ledger import RequiredValue

_NO_EVALUATION = "AutoTrain drops held-out rows of language models without a word"

ONLY = {
    "eval_dataset": RequiredValue(None, _NO_EVALUATION, "leave it out, and evaluate the artifact"),
    "val_size": RequiredValue(0.0, _NO_EVALUATION, "leave it out, and evaluate the artifact"),
    "method.train_on": RequiredValue("all", "AutoTrain's SFT learns every token of a row", "all"),
    "method.loss_type": RequiredValue("sigmoid", "AutoTrain's DPO has this loss alone", "sigmoid"),
    "method.label_smoothing": RequiredValue(0.0, "AutoTrain's DPO does not smooth labels", "leave it out"),
    "method.center_rewards_coefficient": RequiredValue(
        0.0, "AutoTrain's reward models are not centered", "leave it out"
    ),
    "adapter.use_dora": RequiredValue(False, "AutoTrain has no DoRA", "plain LoRA"),
    "adapter.use_rslora": RequiredValue(False, "AutoTrain has no rsLoRA", "plain LoRA, with alpha scaled by hand"),
    "adapter.init": RequiredValue("default", "AutoTrain does not let you choose how an adapter starts", "default"),
    "training.max_steps": RequiredValue(None, "AutoTrain counts epochs, not steps", "set training.num_train_epochs"),
    "training.warmup_steps": RequiredValue(
        None, "AutoTrain warms up over a share of all steps", "set training.warmup_ratio"
    ),
    "training.adam_beta1": RequiredValue(0.9, "AutoTrain leaves AdamW's settings as they are in Transformers"),
    "training.adam_beta2": RequiredValue(0.999, "AutoTrain leaves AdamW's settings as they are in Transformers"),
    "training.adam_epsilon": RequiredValue(1e-8, "AutoTrain leaves AdamW's settings as they are in Transformers"),
    "training.seed": RequiredValue(42, "AutoTrain has a field seed and does not heed it: it is always 42", "42"),
    "training.neftune_noise_alpha": RequiredValue(None, "AutoTrain has no NEFTune"),
    "training.quantization_aware": RequiredValue(None, "AutoTrain does not train quantization-aware"),
    "training.eval_steps": RequiredValue(None, _NO_EVALUATION),
    "training.save_steps": RequiredValue(None, "AutoTrain saves no checkpoints of language models"),
    "training.early_stopping_patience": RequiredValue(None, _NO_EVALUATION),
}
"""Fields with one possible value."""

PACKED = {
    "training.packing": RequiredValue(
        True,
        "AutoTrain's SFT always joins rows end to end and cuts them into blocks of max_length, in which they see each "
        "other; what is left over at the end is not learned",
        "true",
    ),
}
"""For SFT; the other trainers do not pack."""

UNPACKED = {"training.packing": RequiredValue(False, "only AutoTrain's SFT packs", "leave it out")}

OWN = {
    "training.save_total_limit": "AutoTrain saves no checkpoints of language models",
    "training.early_stopping_threshold": _NO_EVALUATION,
}
"""Fields that cannot be told."""

ADVICE = {
    "compute.double_quantization": "AutoTrain's 4-bit base has single quantization",
    "compute.memory_limit": "AutoTrain takes what the device has",
    "compute.devices": "a job on this machine has one device",
    "compute.nodes": "a job on this machine has one device",
    "compute.attention": "AutoTrain chooses between flash attention and Transformers' own",
}
"""Advice that AutoTrain does not take, and why."""
