"""Test doubles, and the contract that backends must pass; shipped, so that your tests can use them.

``FakeBackend`` runs scripted jobs on no hardware at all; ``BackendContract`` is what a backend must pass. It needs
pytest, so it is imported only on first use.
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
    import pytest  # noqa: PLC0415 - installed only where tests are run

    # Pytest explains failed asserts of modules that it rewrites at import: those of tests, and those registered here.
    pytest.register_assert_rewrite(*(f"ftsdk.testing.{name}" for name in ("plan_contract", "job_contract", "contract")))
    from ftsdk.testing.contract import BackendContract  # noqa: PLC0415 - same

    return BackendContract
