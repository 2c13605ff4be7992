"""Test doubles and the exam for backends; shipped, so that your tests can use them.

``FakeBackend`` runs scripted jobs on no hardware at all; ``BackendContract`` is what a backend must pass, and needs
pytest, so it is imported only when it is asked for.
"""

from typing import TYPE_CHECKING, Any

from ftsdk.testing.fake import FakeBackend
from ftsdk.testing.script import Script

if TYPE_CHECKING:
    from ftsdk.testing.contract import BackendContract

__all__ = ["BackendContract", "FakeBackend", "Script"]


def __getattr__(name: str) -> Any:
    if name != "BackendContract":
        raise AttributeError(f"module 'ftsdk.testing' has no attribute {name!r}")
    import pytest  # noqa: PLC0415 - there only where tests are run

    pytest.register_assert_rewrite(*(f"ftsdk.testing.{part}" for part in ("plan_exam", "job_exam", "contract")))
    from ftsdk.testing.contract import BackendContract  # noqa: PLC0415 - same

    return BackendContract
