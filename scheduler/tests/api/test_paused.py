"""The reason of what waits in a cluster that starts nothing."""

import pytest

from deployments.tests.workloads import make
from scheduler import cycle
from scheduler.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_names_when_by_whom_and_why_the_cluster_was_paused(api, ada, dev, cluster):
    row = make(cluster, dev)
    change = {"state": "PAUSED", "state_reason": "new switch"}
    assert api(ada).patch(f"/api/clusters/{cluster.pk}", change).status_code == 200
    cycle.run(cluster.pk, Trigger.CHANGED)
    reason = api(dev).get(f"/api/deployments/{row.pk}").json()["reason"]
    assert reason["code"] == "CLUSTER_PAUSED"
    cluster.refresh_from_db()
    since = cluster.state_change["at"][:19].replace("T", " ")
    assert reason["message"] == (
        f"The cluster is paused since {since} UTC by {ada.username} (new switch): nothing starts "
        "until it is resumed."
    )
    assert {"actor": ada.username, "cause": "new switch"}.items() <= reason["details"].items()


def test_a_cluster_that_is_drained_after_a_pause_is_said_to_be(api, ada, dev, cluster):
    row = make(cluster, dev)
    path = f"/api/clusters/{cluster.pk}"
    api(ada).patch(path, {"state": "PAUSED"})
    cycle.run(cluster.pk, Trigger.CHANGED)
    api(ada).patch(path, {"state": "DRAINING"})
    reason = api(dev).get(f"/api/deployments/{row.pk}").json()["reason"]
    assert reason["message"].startswith("The cluster is being drained since 20")
    assert f" UTC by {ada.username}: nothing" in reason["message"]
