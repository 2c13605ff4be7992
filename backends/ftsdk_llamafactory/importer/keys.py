"""What becomes of each key of a LLaMA-Factory file, as tables. Read in its source, version 0.9.5."""

from ftsdk.importers.common import CHANGES_ENGINE, CHANGES_TOKENS, NO_KEYS, REMOVE, SAVE_MODEL
from ftsdk.importers.importer import Keys, UnsupportedValue, dropped, refused

_IMAGES = "ftsdk trains on text"

MAPPED = {
    "model_name_or_path": "model",
    "model_revision": "model_revision",
    "trust_remote_code": "trust_remote_code",
    "stage": "method.type",
    "do_train": "a training",
    "pref_beta": "method.beta",
    "pref_loss": "method.type, method.loss_type",
    "dpo_label_smoothing": "method.label_smoothing",
    "kto_chosen_weight": "method.desirable_weight",
    "kto_rejected_weight": "method.undesirable_weight",
    "train_on_prompt": "method.train_on",
    "mask_history": "method.train_on",
    "finetuning_type": "adapter",
    "lora_rank": "adapter.r",
    "lora_alpha": "adapter.alpha",
    "lora_dropout": "adapter.dropout",
    "lora_target": "adapter.target_modules",
    "use_dora": "adapter.use_dora",
    "use_rslora": "adapter.use_rslora",
    "pissa_init": "adapter.init",
    "pissa_iter": "adapter.init",
    "dataset": "dataset",
    "dataset_dir": "dataset.path",
    "eval_dataset": "eval_dataset",
    "val_size": "val_size",
    "max_samples": "dataset.max_samples",
    "template": "dataset.chat_template",
    "cutoff_len": "training.max_length",
    "packing": "training.packing",
    "neat_packing": "training.packing",
    "learning_rate": "training.learning_rate",
    "lr_scheduler_type": "training.lr_scheduler_type",
    "warmup_steps": "training.warmup_steps, training.warmup_ratio",
    "warmup_ratio": "training.warmup_ratio, training.warmup_steps",
    "num_train_epochs": "training.num_train_epochs",
    "max_steps": "training.max_steps",
    "per_device_train_batch_size": "training.global_batch_size, compute.per_device_train_batch_size",
    "gradient_accumulation_steps": "training.global_batch_size",
    "optim": "training.optim",
    "adam_beta1": "training.adam_beta1",
    "adam_beta2": "training.adam_beta2",
    "adam_epsilon": "training.adam_epsilon",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "neftune_noise_alpha": "training.neftune_noise_alpha",
    "seed": "training.seed",
    "data_seed": "training.seed",
    "logging_strategy": "training.logging_steps",
    "logging_steps": "training.logging_steps",
    "save_strategy": "training.save_steps",
    "save_steps": "training.save_steps",
    "save_total_limit": "training.save_total_limit",
    "eval_strategy": "training.eval_steps",
    "eval_steps": "training.eval_steps",
    "early_stopping_steps": "training.early_stopping_patience",
    "load_best_model_at_end": "training.early_stopping_patience",
    "metric_for_best_model": "training.early_stopping_patience",
    "greater_is_better": "training.early_stopping_patience",
    "quantization_bit": "compute.quantization",
    "quantization_type": "compute.quantization",
    "quantization_method": "compute.quantization",
    "double_quantization": "compute.double_quantization",
    "bf16": "compute.dtype",
    "fp16": "compute.dtype",
    "flash_attn": "compute.attention",
    "disable_gradient_checkpointing": "compute.gradient_checkpointing",
    "gradient_checkpointing": "compute.gradient_checkpointing",
    "use_cpu": "backend_options.llamafactory.device",
    "enable_liger_kernel": "backend_options.llamafactory.enable_liger_kernel",
    "report_to": "report_to",
    "run_name": "name",
    "push_to_hub": "push_to_hub",
    "hub_model_id": "hub_model_id",
    "tokenized_path": "dataset.path",
}

DROPPED = dropped(
    ("ftsdk keeps each job in a folder of its own: ftsdk fetch", "output_dir overwrite_output_dir save_only_model"),
    (
        "how rows are prepared, not what they are",
        """
        overwrite_cache preprocessing_batch_size preprocessing_num_workers cache_dir data_shared_file_system
        remove_unused_columns dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers
        dataloader_prefetch_factor buffer_size length_column_name label_names media_dir
        """,
    ),
    (
        "what is shown, not what is learned",
        """
        plot_loss logging_dir logging_first_step log_on_each_node logging_nan_inf_filter log_level log_level_replica
        disable_tqdm include_num_input_tokens_seen include_effective_tokens_per_second print_param_status
        compute_accuracy project trackio_space_id trackio_bucket_id trackio_static_space_id debug
        skip_memory_metrics swanlab_project swanlab_workspace swanlab_run_name swanlab_mode swanlab_logdir
        profiler_output_dir profiler_wait_steps profiler_warmup_steps profiler_active_steps profiler_repeat
        profiler_record_shapes profiler_profile_memory profiler_with_stack profile_modules enable_torch_profiler
        """,
    ),
    (
        "how held-out rows are computed, not which",
        """
        do_eval per_device_eval_batch_size prediction_loss_only eval_on_start eval_do_concat_batches eval_delay
        eval_use_gather_object eval_accumulation_steps include_for_metrics batch_eval_metrics bf16_full_eval
        fp16_full_eval eval_on_each_dataset
        """,
    ),
    (
        "about answers and exports, which are no part of a training",
        """
        do_predict predict_with_generate generation_max_length generation_num_beams generation_config do_sample
        temperature top_p top_k num_beams max_length max_new_tokens repetition_penalty length_penalty
        skip_special_tokens eval_num_beams sortish_sampler infer_backend infer_dtype offload_folder use_kv_cache
        vllm_maxlen vllm_gpu_util vllm_enforce_eager vllm_max_lora_rank vllm_config sglang_maxlen
        sglang_mem_fraction sglang_tp_size sglang_config sglang_lora_backend export_dir export_size export_device
        export_quantization_bit export_quantization_dataset export_quantization_nsamples
        export_quantization_maxlen export_legacy_format export_hub_model_id
        """,
    ),
    (
        "how the same numbers are computed; ftsdk chooses it for the machine",
        """
        low_cpu_mem_usage use_unsloth use_unsloth_gc use_reentrant_gc use_v1_kernels use_liger_kernel
        liger_kernel_config use_cache tf32 torch_compile torch_compile_backend torch_compile_mode
        torch_empty_cache_steps gradient_checkpointing_kwargs full_determinism upcast_layernorm
        upcast_lmhead_output
        """,
    ),
    (
        "about several machines; a job of this backend has one device",
        """
        local_rank ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend
        ddp_timeout average_tokens_across_devices save_on_each_node ray_num_workers ray_init_kwargs master_addr
        master_port accelerator_config
        """,
    ),
    (
        "about pauses and uploads, which ftsdk does in its own way",
        """
        enable_jit_checkpoint restore_callback_states_from_checkpoint hub_private_repo hub_strategy hub_always_push
        hub_revision create_new_adapter
        """,
    ),
    (
        "about images and sound, of which there is none in the rows",
        """
        image_max_pixels image_min_pixels image_do_pan_and_scan crop_to_patches video_max_pixels video_min_pixels
        video_fps video_maxlen use_audio_in_video audio_sampling_rate freeze_vision_tower
        freeze_multi_modal_projector
        """,
    ),
    (
        "belongs to a way of training that the file does not choose, or chooses by a key that is refused",
        """
        freeze_trainable_layers freeze_trainable_modules freeze_extra_modules module_dropout oft_rank oft_block_size
        oft_target loraplus_lr_embedding simpo_gamma ppo_buffer_size ppo_epochs ppo_score_norm ppo_target
        ppo_whiten_rewards reward_model reward_model_adapters reward_model_quantization_bit reward_model_type
        ref_model_adapters ref_model_quantization_bit galore_target galore_rank galore_update_interval galore_scale
        galore_proj_type galore_layerwise apollo_target apollo_rank apollo_update_interval apollo_scale apollo_proj
        apollo_proj_type apollo_scale_type apollo_layerwise apollo_scale_front badam_mode badam_start_block
        badam_switch_mode badam_switch_interval badam_update_ratio badam_mask_mode badam_verbose asft_alpha
        eaft_alpha hyper_parallel_args fp8_backend init_special_tokens kt_weight_path kt_expert_checkpoint_path
        kt_use_lora_experts kt_lora_expert_num kt_lora_expert_intermediate_size adapter_folder
        """,
    ),
)

REFUSED: dict[str, UnsupportedValue] = dict(
    refused(
        ("it shares the model over several cards", f"{REMOVE}: a job of this backend has one", "deepspeed fsdp"),
        ("it shares the model over several cards", REMOVE, "fsdp_config parallelism_config use_hyper_parallel"),
        (
            CHANGES_ENGINE,
            f"{REMOVE}, or run LLaMA-Factory itself",
            """
            use_galore use_apollo use_badam use_adam_mini use_muon use_llama_pro use_dft_loss use_asft_loss
            use_eaft_loss use_mca use_kt loraplus_lr_ratio pissa_convert mixture_of_depths shift_attn
            train_from_scratch pure_bf16 fp8 fp8_enable_fsdp_float8_all_gather moe_aux_loss_coef rope_scaling
            """,
        ),
        (CHANGES_ENGINE, REMOVE, "lr_scheduler_kwargs optim_args optim_target_modules label_smoothing_factor"),
        ("it trains whole layers beside the adapter", REMOVE, "additional_target"),
        (
            "a training that continues an adapter needs ftsdk's own artifact",
            "merge the adapter into the model, and name that",
            "adapter_name_or_path",
        ),
        (
            CHANGES_TOKENS,
            SAVE_MODEL,
            """
            resize_vocab split_special_tokens add_tokens add_special_tokens new_special_tokens_config
            use_fast_tokenizer=true
            """,
        ),
        ("the base is quantized by a map of devices", REMOVE, "quantization_device_map"),
        (_IMAGES, REMOVE, "freeze_language_model"),
        (
            "the rows are rendered by the model's own chat template",
            "write it into a Jinja file, and name that in dataset.chat_template",
            "tool_format preserve_thinking enable_thinking=true",
        ),
        (
            "the system text is the template's",
            "put it into the rows, as a system message",
            "default_system",
        ),
        ("rows are read in full", REMOVE, "streaming interleave_probs"),
        ("several datasets are read one after the other", "mix_strategy: concat", "mix_strategy=concat"),
        ("the batch changes with the memory", "set per_device_train_batch_size", "auto_find_batch_size"),
        ("rows are shuffled", REMOVE, "disable_shuffling group_by_length train_sampling_strategy=random"),
        ("the last rows of an epoch are trained, too", REMOVE, "dataloader_drop_last"),
        ("padding is never trained", REMOVE, "ignore_pad_token_for_loss=true"),
        ("a loss beside the preference's", REMOVE, "pref_ftx pref_bco_weight ld_alpha"),
        ("the reference is always the base model", REMOVE, "ref_model"),
        (
            "a job starts from the model; ftsdk resumes from its own checkpoints",
            f"{REMOVE}; later: ftsdk resume JOB",
            "resume_from_checkpoint ignore_data_skip",
        ),
        ("this tracker is not supported", REMOVE, "use_swanlab"),
        (
            NO_KEYS,
            REMOVE,
            """
            hub_token hf_hub_token ms_hub_token om_hub_token swanlab_api_key swanlab_lark_secret
            swanlab_lark_webhook_url
            """,
        ),
    )
)

UNKNOWN_KEY = "LLaMA-Factory has no such key, and refuses it, too"

KEYS = Keys(MAPPED, DROPPED, REFUSED, UNKNOWN_KEY)

DATASET = Keys(
    mapped={
        "file_name": "dataset.path",
        "hf_hub_url": "dataset.path",
        "cloud_file_name": "dataset.path",
        "split": "dataset.split",
        "formatting": "dataset.format",
        "ranking": "dataset.format",
        "columns": "dataset.columns",
        "tags": "dataset.format",
    },
    dropped=dropped(("LLaMA-Factory reads it for other hubs", "file_sha1 ms_hub_url om_hub_url")),
    refused=dict(
        refused(
            ("a part of a Hub dataset cannot be named", "download it, and name its file", "subset folder"),
            ("rows are not sampled", "use max_samples, which takes the first", "num_samples"),
            ("code of a dataset is not run", "write the rows into a JSON Lines file, and name that", "script_url"),
        )
    ),
)
"""An entry of ``dataset_info.json``."""
