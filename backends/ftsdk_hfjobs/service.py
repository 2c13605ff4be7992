"""Hugging Face Jobs that run the local engine, for the rules in :mod:`ftsdk.remote.backend`."""

from pathlib import Path

from ftsdk.backend import Plan, Record
from ftsdk.huggingface.execution import RemoteExecution
from ftsdk.huggingface.jobs import JobsService, LaunchRequest
from ftsdk.huggingface.reports import ReportReader
from ftsdk.huggingface.results import JobResult
from ftsdk_hfjobs import results, submit
from ftsdk_hfjobs.translate import NAME


class HfJobsService(JobsService):
    """Jobs of the local engine."""

    backend = NAME

    def prepare(self, plan: Plan, token: str, record: Record) -> LaunchRequest:
        """Commit the request to the job's repository."""
        return submit.prepare(self.hub, plan, token, record)

    def report_reader(self, execution: RemoteExecution) -> ReportReader:  # noqa: ARG002 - alike for all jobs
        """The reader of the engine's reports."""
        return results.REPORT_READER

    def fill(self, result: JobResult, ref: str, folder: Path) -> None:
        """Download the artifact, with the paths of this machine again."""
        results.fetch_artifact(self.hub, result, ref, folder)
