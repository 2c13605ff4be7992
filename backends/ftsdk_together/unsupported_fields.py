"""Fields that Together AI has no setting for, as tables."""

from ftsdk.translation.ledger import RequiredValue

REQUIRED_VALUES = {
    "model_revision": RequiredValue(
        None, "Together trains its own copy of the model, and has no revisions", "leave it blank"
    ),
    "trust_remote_code": RequiredValue(False, "Together runs no code that comes with a model"),
    "adapter.use_dora": RequiredValue(False, "Together has no DoRA", "plain LoRA"),
    "adapter.use_rslora": RequiredValue(False, "Together has no rsLoRA", "plain LoRA, with alpha scaled by hand"),
    "adapter.init": RequiredValue("default", "Together does not let you choose how an adapter starts", "default"),
    "training.max_steps": RequiredValue(None, "Together counts epochs, not steps", "set training.num_train_epochs"),
    "training.warmup_steps": RequiredValue(
        None, "Together warms up over a share of all steps", "set training.warmup_ratio"
    ),
    "training.neftune_noise_alpha": RequiredValue(None, "Together has no NEFTune"),
    "training.quantization_aware": RequiredValue(None, "Together does not train quantization-aware"),
    "training.eval_steps": RequiredValue(
        None, "Together counts evaluations, not steps between them", "set backend_options.together.n_evals"
    ),
    "training.save_steps": RequiredValue(
        None, "Together counts checkpoints, not steps between them", "set backend_options.together.n_checkpoints"
    ),
    "dataset.chat_template": RequiredValue(None, "Together uses the model's own chat template"),
    "eval_dataset.chat_template": RequiredValue(None, "Together uses the model's own chat template"),
    "method.loss_type": RequiredValue(
        "sigmoid", "Together's DPO has this loss alone", "sigmoid; or the option simpo_gamma"
    ),
    "method.label_smoothing": RequiredValue(0.0, "Together's DPO does not smooth labels"),
}
"""Fields with one supported value."""

BACKEND_DEFAULTS = {
    "training.optim": "Together chooses the optimizer, and does not say which",
    "training.adam_beta1": "Together chooses the optimizer's settings",
    "training.adam_beta2": "Together chooses the optimizer's settings",
    "training.adam_epsilon": "Together chooses the optimizer's settings",
    "training.logging_steps": "Together chooses how often it logs",
    "training.save_total_limit": "Together keeps every checkpoint",
}
"""Fields that cannot be sent: refused where the user set them, else shown in the plan as the backend's own."""

IGNORED_ADVICE = {
    "compute.quantization": "Together chooses the precision of the base; it is no QLoRA",
    "compute.double_quantization": "Together chooses the precision of the base",
    "compute.dtype": "Together chooses the precision",
    "compute.per_device_train_batch_size": "Together chooses it; training.global_batch_size is kept",
    "compute.memory_limit": "Together chooses the machine",
    "compute.devices": "Together chooses the machine",
    "compute.nodes": "Together chooses the machine",
    "compute.gradient_checkpointing": "Together decides about it",
    "compute.attention": "Together chooses the kernels",
    "compute.timeout": "Together has no time limit for a job",
}
"""Advice that a managed service does not take, and why."""
