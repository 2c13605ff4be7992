"""Functions of ``ftsdk.kit.hub`` that are methods of services now work as they did."""

import hub_scripts
import pytest
from hub_client import SHORT_TIMEOUTS

import ftsdk
from ftsdk.huggingface.connection import connected
from ftsdk.huggingface.staging import make_repository, stage

TOKEN = "a" * 26

pytestmark = pytest.mark.filterwarnings("ignore:ftsdk.kit:DeprecationWarning")


def test_a_job_by_the_old_functions(service, backend, spec):
    """It is created once, found again, and cancelled."""
    from ftsdk.kit.hub.jobs import JobCarrier, Order, create, find
    from ftsdk.kit.hub.results import task_of
    from ftsdk.kit.hub.watch import cancel

    service.run = hub_scripts.nothing
    facts: dict[str, str] = {}
    plan = ftsdk.plan(spec()).model_copy(update={"facts": facts})
    with connected("hfjobs", SHORT_TIMEOUTS) as hub:
        make_repository(hub, "me/job")
        revision = stage(hub, "me/job", {"task.json": '{"repo": "me/job"}'})
        native_id = create(hub, plan, TOKEN, Order.of(plan.native, {}, "me/job", revision), facts.update)
        listed = plan.model_copy(update={"facts": None})
        cancel(hub, JobCarrier(hub, native_id))

        assert native_id == find(hub, listed, "me", TOKEN)
        assert {"repo": "me/job"} == task_of(hub, "me/job")
    assert ["CANCELED"] == [job.stage for job in service.jobs]


def test_a_space_by_the_old_functions(service, backend, spec):
    """It is created, and started by its files."""
    from ftsdk.kit.hub.spaces import Order, create, find

    service.run_space = lambda *_: None
    with connected("hfjobs", SHORT_TIMEOUTS) as hub:
        create(hub, Order("me/space", "image", "l4x1", 60, {}, ["HF_TOKEN"]), {"task.json": "{}"})

        assert find(hub, "me/space")
    assert {"Dockerfile", "job/task.json"} <= set(service.tree("me/space", "space"))
