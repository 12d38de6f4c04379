"""Every call that writes, while a session has locked all rows of its organization: it is served
without them, or refused at once with a 503. Another organization is served meanwhile."""

import time

import pytest

from clusters.models import Cluster
from deployments.tests.workloads import body
from mlops_platform.database import row_waits
from mlops_platform.environment.database import SERVING
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.world import World, fingerprint
from mlops_platform.tests.input.matrix import MATRIX, Row, filled
from mlops_platform.tests.waits.organization_lock import (
    DELETED,
    UPDATED,
    organization_locked,
    waits_in_vain,
)

pytestmark = pytest.mark.usefixtures("short_wait")
MOST_S = 2 * SERVING["lock_timeout"]  # generous: one wait, on a slow machine
WRITING = [row for row in MATRIX if row.writes and row.method != "GET" and row.answers[-1] < 300]
# They read, and insert rows of their own.
SERVED = {
    ("POST /api/users/register", UPDATED),
    ("POST /api/users/register", DELETED),
    ("POST /api/users/login", UPDATED),
    ("POST /api/auth/device", UPDATED),
    ("POST /api/auth/device", DELETED),
    ("POST /api/deployments/{deployment_id}/rerun", UPDATED),
}


@pytest.mark.parametrize("how", [UPDATED, DELETED])
@pytest.mark.parametrize("row", WRITING, ids=lambda row: f"{row.call}{row.query}")
def test_a_call_for_locked_rows_is_refused_at_once_and_changes_nothing(
    committed_world: World, row: Row, how: str
) -> None:
    world = committed_world
    url, given = filled(row.path + row.query, world.ids), row.filled_body(world.ids)
    before = fingerprint()
    with organization_locked(world, how):
        began = time.monotonic()
        with waits_in_vain() as waits:
            answer = getattr(world.client("admin"), row.method.lower())(url, given)
        took_s = time.monotonic() - began
        if (row.call, how) in SERVED:
            assert answer.status_code < 300
            return
        assert answer.status_code == 503
        assert error_body(answer)["code"] == "busy"
        assert int(answer["Retry-After"]) > 0
        assert len(waits) == 1, "it waits once"
        assert took_s < MOST_S
        assert fingerprint() == before
        assert_stranger_is_served(world)
    row_waits._in_vain.clear()
    row_waits.referred_in_vain.clear()
    assert getattr(world.client("admin"), row.method.lower())(url, given).status_code < 300


def assert_stranger_is_served(world: World) -> None:
    sam = world.client("stranger")
    other = Cluster.objects.exclude(pk=world.ids["cluster_id"]).get()
    answer = sam.post("/api/deployments", body(other))
    assert answer.status_code == 201
    assert sam.post(f"/api/deployments/{answer.json()['id']}/stop").status_code == 200
    assert sam.patch(f"/api/clusters/{other.pk}", {"name": "new"}).status_code == 200
