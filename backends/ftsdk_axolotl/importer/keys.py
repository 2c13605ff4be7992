"""What becomes of each key of an Axolotl file, as tables. Read in its source, version 0.19.0."""

from ftsdk.importers.common import CHANGES_ENGINE, CHANGES_TOKENS, NO_KEYS, REMOVE, SAVE_MODEL
from ftsdk.importers.importer import Keys, UnsupportedValue, dropped, refused

_TEMPLATE = "the rows are rendered by the model's own chat template"
_OR_AXOLOTL = "remove it, or run Axolotl itself"

MAPPED = {
    "base_model": "model",
    "model_revision": "model_revision",
    "revision_of_model": "model_revision",
    "tokenizer_config": "model",
    "base_model_config": "model",
    "trust_remote_code": "trust_remote_code",
    "rl": "method.type",
    "reward_model": "method.type",
    "rl_beta": "method.beta",
    "dpo_beta": "method.beta",
    "orpo_alpha": "method.beta",
    "trl": "method.beta",
    "dpo_loss_type": "method.loss_type",
    "dpo_label_smoothing": "method.label_smoothing",
    "kto_desirable_weight": "method.desirable_weight",
    "kto_undesirable_weight": "method.undesirable_weight",
    "center_rewards_coefficient": "method.center_rewards_coefficient",
    "train_on_inputs": "method.train_on",
    "adapter": "adapter, compute.quantization",
    "lora_r": "adapter.r",
    "lora_alpha": "adapter.alpha",
    "lora_dropout": "adapter.dropout",
    "lora_target_modules": "adapter.target_modules",
    "lora_target_linear": "adapter.target_modules",
    "peft_use_dora": "adapter.use_dora",
    "peft_use_rslora": "adapter.use_rslora",
    "peft_init_lora_weights": "adapter.init",
    "datasets": "dataset",
    "test_datasets": "eval_dataset",
    "val_set_size": "val_size",
    "chat_template": "dataset.chat_template",
    "chat_template_jinja": "dataset.chat_template",
    "special_tokens": "dataset.chat_template",
    "sequence_len": "training.max_length",
    "excess_length_strategy": "training.max_length",
    "sample_packing": "training.packing",
    "learning_rate": "training.learning_rate",
    "lr_scheduler": "training.lr_scheduler_type",
    "warmup_steps": "training.warmup_steps",
    "warmup_ratio": "training.warmup_ratio",
    "num_epochs": "training.num_train_epochs",
    "max_steps": "training.max_steps",
    "micro_batch_size": "training.global_batch_size, compute.per_device_train_batch_size",
    "gradient_accumulation_steps": "training.global_batch_size",
    "batch_size": "training.global_batch_size",
    "optimizer": "training.optim",
    "adam_beta1": "training.adam_beta1",
    "adam_beta2": "training.adam_beta2",
    "adam_epsilon": "training.adam_epsilon",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "neftune_noise_alpha": "training.neftune_noise_alpha",
    "noisy_embedding_alpha": "training.neftune_noise_alpha",
    "seed": "training.seed",
    "logging_steps": "training.logging_steps",
    "save_steps": "training.save_steps",
    "save_strategy": "training.save_steps",
    "saves_per_epoch": "training.save_steps",
    "save_total_limit": "training.save_total_limit",
    "eval_steps": "training.eval_steps",
    "eval_strategy": "training.eval_steps",
    "evaluation_strategy": "training.eval_steps",
    "evals_per_epoch": "training.eval_steps",
    "early_stopping_patience": "training.early_stopping_patience",
    "load_best_model_at_end": "training.early_stopping_patience",
    "metric_for_best_model": "training.early_stopping_patience",
    "load_in_4bit": "compute.quantization",
    "load_in_8bit": "compute.quantization",
    "bnb_config_kwargs": "compute.quantization, compute.double_quantization",
    "bf16": "compute.dtype",
    "bfloat16": "compute.dtype",
    "fp16": "compute.dtype",
    "attn_implementation": "compute.attention",
    "flash_attention": "compute.attention",
    "sdp_attention": "compute.attention",
    "eager_attention": "compute.attention",
    "xformers_attention": "compute.attention",
    "sage_attention": "compute.attention",
    "flex_attention": "compute.attention",
    "gradient_checkpointing": "compute.gradient_checkpointing",
    "plugins": "kernels",
    "use_wandb": "report_to",
    "use_mlflow": "report_to",
    "use_tensorboard": "report_to",
    "use_trackio": "report_to",
    "wandb_project": "report_to",
    "mlflow_experiment_name": "report_to",
    "wandb_name": "name",
    "mlflow_run_name": "name",
    "trackio_run_name": "name",
    "hub_model_id": "push_to_hub, hub_model_id",
}

DROPPED = dropped(
    (
        "ftsdk keeps each job in a folder of its own: ftsdk fetch",
        "output_dir save_safetensors save_only_model save_first_step strict axolotl_config_path",
    ),
    (
        "how rows are prepared, not what they are",
        """
        dataset_prepared_path dataset_processes dataset_num_proc dataset_keep_in_memory num_dataset_shards_to_save
        push_dataset_to_hub hf_use_auth_token is_preprocess preprocess_iterable remove_unused_columns
        dataloader_pin_memory dataloader_num_workers dataloader_prefetch_factor total_num_tokens
        total_supervised_tokens sample_packing_eff_est sample_packing_group_size sample_packing_bin_size
        sample_packing_mp_start_method multipack_real_batches pad_to_sequence_len pad_to_multiple_of
        streaming_multipack_buffer_size pretrain_multipack_buffer_size pretrain_multipack_attn
        """,
    ),
    (
        "what is shown, not what is learned; trackers read WANDB_PROJECT and the like from the environment",
        """
        wandb_run_id wandb_mode wandb_entity wandb_watch wandb_log_model mlflow_tracking_uri hf_mlflow_log_artifacts
        trackio_project_name trackio_space_id use_otel_metrics otel_metrics_host otel_metrics_port
        include_tokens_per_second include_tkps profiler_steps profiler_steps_start comet_workspace
        comet_project_name comet_experiment_key comet_mode comet_online comet_experiment_config debug
        """,
    ),
    (
        "how held-out rows are computed, not which",
        """
        eval_batch_size eval_sample_packing eval_sequence_len eval_table_size eval_max_new_tokens do_causal_lm_eval
        eval_causal_lm_metrics do_bench_eval bench_dataset bench_split greater_is_better
        """,
    ),
    (
        "about answers, merging and web pages, which are no part of a training",
        """
        generate_samples num_generation_samples generation_max_new_tokens generation_temperature generation_top_p
        generation_top_k generation_prompt_ratio generation_do_sample merge_lora merge_method lora_on_cpu gradio_title
        gradio_share gradio_server_name gradio_server_port gradio_max_new_tokens gradio_temperature vllm
        """,
    ),
    (
        "how the same numbers are computed; ftsdk chooses it for the machine",
        """
        tf32 float32 low_cpu_mem_usage gradient_checkpointing_kwargs selective_checkpointing activation_offloading
        layer_offloading gc_steps gc_collect_steps torch_empty_cache_steps torch_compile torch_compile_backend
        torch_compile_mode torch_compile_options deepcompile flash_attn_cross_entropy flash_attn_fuse_mlp
        flash_optimum flash_attn_d512 flex_attn_compile_kwargs gemma4_hybrid_attn_impl large_head_attention
        sdpa_varlen fused_attn_kernel experts_implementation ple_cpu_offload lora_mlp_kernel lora_qkv_kernel
        lora_o_kernel lora_embedding_kernel chunked_cross_entropy chunked_cross_entropy_num_chunks tiled_mlp
        tiled_mlp_num_shards tiled_mlp_use_original_mlp use_kernels max_memory gpu_memory_limit device device_map
        experimental_skip_move_to_device precompute_ref_log_probs dpo_use_liger_kernel dpo_padding_free
        qlora_sharded_model_loading batch_flattening dynamic_checkpoint llama4_linearized_experts liger_rope
        liger_rms_norm liger_rms_norm_gated liger_layer_norm liger_swiglu liger_glu_activation liger_cross_entropy
        liger_fused_linear_cross_entropy liger_use_token_scaling liger_kernel_impl cut_cross_entropy
        """,
    ),
    (
        "about several machines; a job of this backend has one device",
        """
        world_size local_rank ddp ddp_timeout ddp_bucket_cap_mb ddp_broadcast_buffers ddp_find_unused_parameters
        accelerator_config ray_run_name ray_num_workers resources_per_worker heads_k_stride ring_attn_func
        fsdp_version fsdp_final_state_dict_type fp8_enable_fsdp_float8_all_gather
        """,
    ),
    (
        "it is in the model's own config",
        """
        model_type type_of_model num_labels tokenizer_type tokenizer_use_fast tokenizer_legacy
        tokenizer_save_jinja_files is_falcon_derived_model is_llama_derived_model is_mistral_derived_model
        is_qwen_derived_model cls_model_config
        """,
    ),
    ("it only ends a run that goes wrong", "loss_watchdog_threshold loss_watchdog_patience"),
    ("about uploads, which ftsdk does in its own way", "hub_strategy hub_revision"),
    (
        "belongs to a way of training that the file does not choose, or chooses by a key that is refused",
        """
        lisa_layers_attribute dion_lr dion_momentum dion_rank_fraction dion_rank_multiple_of qgalore_rank
        qgalore_update_proj_gap qgalore_scale qgalore_proj_type qgalore_proj_quant qgalore_proj_bits
        qgalore_proj_group_size qgalore_cos_threshold qgalore_gamma_proj qgalore_queue_size relora_prune_ratio
        relora_prune_method relora_cpu_offload loraplus_lr_embedding eaft_alpha eaft_k scaling_softmax_factor
        scaling_softmax_bias simpo_gamma cpo_alpha adam_epsilon2 adam_beta3 torchdistx_path fp8_config
        image_size image_resize_algorithm freeze_mm_modules processor_kwargs
        pose_split_on_token_ids pose_max_context_len pose_num_chunks dataset_shard_idx model_quantization_config_kwargs
        mean_resizing_embeddings embeddings_skip_upcast jagged_restart_warmup_steps jagged_restart_anneal_steps
        """,
    ),
)

REFUSED: dict[str, UnsupportedValue] = dict(
    refused(
        (
            "it shares the model over several cards",
            f"{REMOVE}: a job of this backend has one",
            """
            deepspeed fsdp fsdp_config dp_shard_size=1 dp_replicate_size=1 sequence_parallel_degree=1
            context_parallel_size=1 tensor_parallel_size=1 use_ray
            """,
        ),
        (
            CHANGES_ENGINE,
            _OR_AXOLOTL,
            """
            relora jagged_restart_steps lisa_n_layers lisa_step_interval loraplus_lr_ratio use_eaft scaling_softmax
            use_pose curriculum_sampling sample_packing_sequentially ebft trainer_cls qat quantization
            process_reward_model use_onebitllms fp8 float16 gptq quantize_moe_experts model_quantization_config
            unfrozen_parameters reinit_weights s2_attention flash_attn_rms_norm rope_scaling
            fp32_norms fp32_norm_classes max_packed_sequence_len
            model_config overrides_of_model_config model_kwargs overrides_of_model_kwargs peft_autocast_adapter_dtype
            unsloth_cross_entropy_loss unsloth_lora_mlp unsloth_lora_qkv unsloth_lora_o unsloth_rms_norm unsloth_rope
            """,
        ),
        (
            "the learning rate has one peak and one shape",
            REMOVE,
            """
            embedding_lr embedding_lr_scale lr_groups lr_scheduler_kwargs lr_quadratic_warmup cosine_min_lr_ratio
            cosine_constant_lr_ratio lr_div_factor
            """,
        ),
        ("the optimizer has no settings beyond AdamW's", REMOVE, "optim_args optim_target_modules"),
        (
            "an adapter is the same in each layer that it is in",
            REMOVE,
            """
            lora_target_parameters lora_rank_pattern lora_alpha_pattern peft_layers_to_transform peft_layers_pattern
            peft_layer_replication peft lora_fan_in_fan_out peft_ensure_weight_tying lora_exclude_modules
            """,
        ),
        (
            "it trains embeddings or whole layers beside the adapter",
            REMOVE,
            "lora_modules_to_save peft_trainable_token_indices fix_untrained_tokens",
        ),
        (
            "a training that continues an adapter needs ftsdk's own artifact",
            "merge the adapter into the model, and name that",
            "lora_model_dir",
        ),
        (
            CHANGES_TOKENS,
            SAVE_MODEL,
            """
            tokens added_tokens_overrides resize_token_embeddings_to_32x shrink_embeddings
            tokenizer_use_mistral_common
            """,
        ),
        ("ftsdk trains on text", REMOVE, "processor_type role_boundaries"),
        (_TEMPLATE, "write it into a Jinja file, and name that", "chat_template_kwargs eot_tokens"),
        ("the system text is the template's", "put it into the rows, as a system message", "default_system_message"),
        (
            "rows are read in full, once, in random order",
            REMOVE,
            """
            streaming dataset_shard_num skip_prepare_dataset dataset_exact_deduplication shuffle_merged_datasets=true
            shuffle_before_merging_datasets group_by_length dataloader_drop_last min_sample_len max_prompt_len
            """,
        ),
        (
            "a stream of texts is not supported",
            "name the files in datasets, with type: completion",
            "pretraining_dataset pretraining_sample_concatenation",
        ),
        ("the batch changes with the memory", "set micro_batch_size", "auto_find_batch_size"),
        (
            "the preference losses have no such term",
            _OR_AXOLOTL,
            "dpo_use_weighting dpo_loss_weights rpo_alpha dpo_norm_loss",
        ),
        ("Axolotl 0.19 refuses it, too", REMOVE, "dpo_use_logits_to_keep dpo_generate_during_eval"),
        (
            "a job starts from the model; ftsdk resumes from its own checkpoints",
            f"{REMOVE}; later: ftsdk resume JOB",
            "resume_from_checkpoint auto_resume_from_checkpoints",
        ),
        ("this tracker is not supported", REMOVE, "use_comet"),
        (NO_KEYS, REMOVE, "comet_api_key wandb_api_key hub_token"),
    )
)

UNKNOWN_KEY = "Axolotl has no such key, and ignores it in silence"

KEYS = Keys(MAPPED, DROPPED, REFUSED, UNKNOWN_KEY)

DATASET = Keys(
    mapped={
        "path": "dataset.path",
        "data_files": "dataset.path",
        "ds_type": "dataset.path",
        "split": "dataset.split",
        "revision": "dataset.revision",
        "type": "dataset.format",
        "field": "dataset.columns",
        "field_messages": "dataset.columns",
        "field_tools": "dataset.columns",
        "field_chosen": "dataset.columns",
        "field_rejected": "dataset.columns",
        "message_property_mappings": "dataset.format",
        "message_field_role": "dataset.format",
        "message_field_content": "dataset.format",
        "roles": "dataset.format",
        "roles_to_train": "method.train_on",
        "train_on_eos": "method.train_on",
        "train_on_eot": "method.train_on",
        "chat_template": "dataset.chat_template",
        "chat_template_jinja": "dataset.chat_template",
    },
    dropped=dropped(("how rows are prepared, not what they are", "preprocess_shards")),
    refused=dict(
        refused(
            ("a part of a Hub dataset cannot be named", "download it, and name its file", "name"),
            ("rows are read in full", "write the part into a file of its own", "shards shards_idx"),
            ("code of a dataset is not run", "write the rows into a JSON Lines file", "trust_remote_code"),
            (
                "single words of a turn cannot be masked",
                "remove it: every turn of the assistant is learned",
                "message_field_training message_field_training_detail",
            ),
            (
                "turns are rendered as they are",
                "write the rows so",
                """
                drop_system_message split_thinking template_thinking_key field_thinking conversation input_format
                input_transform field_human field_model step_separator max_completion_length train_on_last_step_only
                logprobs_field temperature
                """,
            ),
        )
    ),
    unknown_message=UNKNOWN_KEY,
)
"""An entry of ``datasets`` or ``test_datasets``."""

INSTRUCT = Keys(
    mapped={
        "field_system": "dataset.columns",
        "field_instruction": "dataset.columns",
        "field_output": "dataset.columns",
        "format": "dataset.format",
        "no_input_format": "dataset.format",
        "field_prompt": "dataset.columns",
        "field_chosen": "dataset.columns",
        "field_rejected": "dataset.columns",
        "field_completion": "dataset.columns",
        "field_label": "dataset.columns",
        "prompt_format": "dataset.format",
        "chosen_format": "dataset.format",
        "rejected_format": "dataset.format",
        "completion_format": "dataset.format",
    },
    dropped=dropped(("the formats do not use it", "field_input system_format")),
    refused=dict(refused(("the prompt is the row's text", "write it into the rows", "system_prompt"))),
    unknown_message=UNKNOWN_KEY,
)
"""A ``type`` that the user defines."""
