"""Deprecated: what ``ftsdk.kit`` held is in packages that are named for what they hold. The next release removes it.

A backend that imports the old names works as before, with a warning for each that has the new one. Names of modules,
functions and classes are kept here; methods, fields and parameters where a backend uses them itself: of the ledger,
and of what hosted backends share.
"""

import sys

from ftsdk.deprecation import MovedModule

MODULES: dict[str, str] = {
    "archive": "ftsdk.remote.archive",
    "bases": "ftsdk.translation.model_config",
    "batches": "ftsdk.engines.fields",
    "card": "ftsdk.artifact.model_card",
    "door": "ftsdk.remote.error_mapper",
    "download": "ftsdk.remote.download",
    "encoding": "ftsdk.data.row_labels",
    "engines": "ftsdk.engines",
    "engines.backend": "ftsdk.engines.backend",
    "engines.batches": "ftsdk.engines.batches",
    "engines.desk": "ftsdk.engines.runner_support",
    "engines.diagnosis": "ftsdk.workers.diagnosis",
    "engines.fields": "ftsdk.engines.fields",
    "engines.guest": "ftsdk.engines.runner_process",
    "engines.house": "ftsdk.engines.environment",
    "engines.output": "ftsdk.engines.output",
    "engines.progress": "ftsdk.engines.progress",
    "engines.recorder": "ftsdk.engines.recorder",
    "engines.request": "ftsdk.engines.plan",
    "engines.tokens": "ftsdk.engines.tokens",
    "engines.tools": "ftsdk.engines.bundle",
    "engines.trainlog": "ftsdk.workers.log_parser",
    "engines.work": "ftsdk.engines.engine_job",
    "environment": "ftsdk.workers.environment",
    "flaws": "ftsdk.translation.model_folder_checks",
    "formats": "ftsdk.data.formats",
    "hardware": "ftsdk.workers.hardware",
    "holdout": "ftsdk.data.split",
    "http": "ftsdk.remote.retries",
    "hub": "ftsdk.huggingface",
    "hub.carrier": "ftsdk.huggingface.execution",
    "hub.connection": "ftsdk.huggingface.connection",
    "hub.container": "ftsdk.huggingface.container",
    "hub.door": "ftsdk.huggingface.errors",
    "hub.flavors": "ftsdk.huggingface.flavors",
    "hub.jobs": "ftsdk.huggingface.jobs",
    "hub.log": "ftsdk.huggingface.log",
    "hub.pins": "ftsdk.huggingface.revisions",
    "hub.publishing": "ftsdk.huggingface.publishing",
    "hub.results": "ftsdk.huggingface.results",
    "hub.spaces": "ftsdk.huggingface.spaces",
    "hub.staging": "ftsdk.huggingface.staging",
    "hub.terms": "ftsdk.huggingface.pricing",
    "hub.watch": "ftsdk.huggingface.monitor",
    "importing": "ftsdk.importers.common",
    "jobs": "ftsdk.workers",
    "jobs.attempt": "ftsdk.workers.attempt",
    "jobs.backend": "ftsdk.workers.backend",
    "jobs.driver": "ftsdk.workers.driver",
    "jobs.folder": "ftsdk.job_folder",
    "jobs.measured": "ftsdk.workers.metrics",
    "jobs.options": "ftsdk.workers.options",
    "jobs.outcome": "ftsdk.workers.outcome",
    "jobs.product": "ftsdk.workers.artifact_builder",
    "jobs.queue": "ftsdk.workers.device_queue",
    "jobs.report": "ftsdk.workers.event_writer",
    "jobs.sitter": "ftsdk.engines.supervisor",
    "jobs.status": "ftsdk.workers.status",
    "jobs.stop": "ftsdk.workers.signal_handler",
    "jobs.streams": "ftsdk.workers.redaction",
    "jobs.worker": "ftsdk.workers.worker",
    "ledger": "ftsdk.translation.ledger",
    "model_files": "ftsdk.artifact.model_files",
    "once": "ftsdk.remote.create_once",
    "process": "ftsdk.workers.process",
    "remote": "ftsdk.data.download",
    "rows": "ftsdk.data.split",
    "sources": "ftsdk.translation.model_source",
}
"""From each old module to the new one."""

RENAMED: dict[str, dict[str, str]] = {
    "encoding": {"Row": "Fields"},
    "bases": {"cautions": "model_warnings", "positions_of": "max_positions"},
    "door": {"Door": "ErrorMapper", "tidy": "format_quote"},
    "download": {"Open": "OpenStream", "Part": "ByteRange"},
    "batches": {"cut_batch": "split_batch"},
    "engines.batches": {"judged_batch": "unpaired_batch", "pairs_batch": "paired_batch"},
    "engines.desk": {
        "Failure": "RunnerError",
        "bring_model": "download_model",
        "do": "run_request",
        "offline": "offline_environment",
        "same": "values_match",
        "too_new": "version_mismatch",
    },
    "engines.fields": {
        "Model": "ModelReference",
        "model_of": "resolve_model",
        "refuse_the_usual": "refuse_common_fields",
        "whole_alpha": "integer_alpha",
    },
    "engines.guest": {"Hear": "LineHandler", "run_guest": "run_runner"},
    "engines.house": {"House": "EngineEnvironment", "Tell": "Report"},
    "engines.progress": {"Progress": "EngineProgress"},
    "engines.request": {"Native": "EngineRequest"},
    "engines.tokens": {"Encoded": "EncodedRow"},
    "engines.tools": {"lay_out": "copy_modules", "start": "runner_command", "words": "runner_arguments"},
    "engines.trainlog": {"Bar": "ProgressBar", "bar_in": "parse_progress_bar", "values_in": "parse_metrics"},
    "engines.work": {"Engine": "EngineSpec"},
    "environment": {"guest_environment": "runner_environment"},
    "flaws": {
        "INDEX": "ftsdk.artifact.model_files:WEIGHTS_INDEX",
        "flaws_of": "model_problems",
        "refuse_flaws": "check_trainable",
    },
    "formats": {"FORMATS": "FORMATS_OF_METHOD"},
    "http": {
        "Patience": "RetryPolicy",
        "Timing": "Timeouts",
        "awaiting": "poll",
        "may_pass": "is_transient",
        "never_sent": "is_unsent",
        "patiently": "retry",
        "pause_asked": "requested_pause",
    },
    "hub.carrier": {"Carrier": "RemoteExecution", "Seen": "ExecutionStatus"},
    "hub.container": {
        "MARK": "LOG_PREFIX",
        "Task": "ContainerTask",
        "insistently": "retry_for_minutes",
        "say": "print_line",
        "tell": "print_event",
    },
    "hub.door": {"DOOR": "ERROR_MAPPER"},
    "hub.jobs": {
        "JobCarrier": "JobExecution",
        "Order": "LaunchRequest",
        "create": "JobsService",
        "find": "JobsService",
    },
    "hub.log": {"Line": "LogLine"},
    "hub.pins": {
        "HUB_ID": "ftsdk.data.paths:HUB_ID",
        "cached_config": "ftsdk.translation.model_source:cached_config",
        "pins_of": "pin_revisions",
        "revisions": "pinned_commits",
        "warnings": "pin_warnings",
    },
    "hub.results": {
        "Result": "JobResult",
        "bring": "download",
        "log_of": "read_log_copy",
        "result_of": "find_result",
        "task_of": "read_task",
    },
    "hub.spaces": {
        "Order": "SpaceRequest",
        "SpaceCarrier": "SpaceExecution",
        "create": "create_space",
        "find": "is_started",
    },
    "hub.staging": {"TASK": "ftsdk.huggingface.container:TASK"},
    "hub.terms": {"Terms": "Pricing", "named_flavor": "find_flavor", "settle_terms": "price_job"},
    "hub.watch": {
        "Fields": "ftsdk.huggingface.reports:LogEntry",
        "Tongue": "ftsdk.huggingface.reports:ReportReader",
        "cancel": "ftsdk.huggingface.service:HubService",
    },
    "jobs.attempt": {"gone": "wait_until_ended", "launching": "hold_launch_lock", "sign": "record_attempt"},
    "jobs.driver": {"folder_of": "job_folder"},
    "jobs.outcome": {"Failure": "WorkerError", "Why": "StopReason"},
    "jobs.product": {
        "assemble": "build_artifact",
        "seal_product": "seal_job_artifact",
        "kind_of": "ftsdk.artifact.model_files:artifact_kind",
    },
    "jobs.report": {"Reporter": "EventWriter"},
    "jobs.stop": {"Watch": "SignalHandler"},
    "ledger": {"Only": "RequiredValue"},
    "once": {
        "CREATED": "CreationRecord",
        "CREATION": "CreationRecord",
        "Look": "FindJob",
        "Once": "IdempotentCreate",
    },
    "remote": {"localize": "download_dataset"},
    "rows": {"check_unchanged": "ftsdk.data.report:check_unchanged", "parted": "split_rows"},
    "sources": {
        "check_model": "check_model_folder",
        "folder_of": "model_folder",
        "gives_scores": "is_reward_model",
        "scorer_in": "reward_model_folder",
    },
}
"""For each old module: what is called otherwise now, or has moved on (``module:name``)."""

_REMOTE = "ftsdk.kit.remote_classes"
_STAND_INS = {
    "door": {"Door": f"{_REMOTE}:Door"},
    "http": {name: f"{_REMOTE}:{name}" for name in ("Patience", "Timing", "patiently")},
    "once": {name: f"{_REMOTE}:{name}" for name in ("CREATED", "CREATION", "Once")},
    "hub.jobs": {"create": "ftsdk.kit.hub_functions:create_job", "find": "ftsdk.kit.hub_functions:find_job"},
    "hub.results": {"task_of": "ftsdk.kit.hub_functions:task_of"},
    "hub.spaces": {"create": "ftsdk.kit.hub_functions:create_space"},
    "hub.watch": {"Fields": "ftsdk.kit.hub_functions:Fields", "cancel": "ftsdk.kit.hub_functions:cancel"},
    "ledger": {"Ledger": "ftsdk.kit.ledger_methods:Ledger"},
}


def _install() -> None:
    for name, target in MODULES.items():
        moved = MovedModule(f"{__name__}.{name}", target, RENAMED.get(name), _STAND_INS.get(name))
        sys.modules[moved.__name__] = moved
        # as the import system does for a submodule that it has loaded
        parent, _, child = moved.__name__.rpartition(".")
        setattr(sys.modules[parent], child, moved)


_install()
