"""POST /api/sweeps/{id}/stop"""

from deployments.models import Status
from deployments.tests.api.sweeps.sweeping import PATH, give, members, swept
from deployments.tests.workloads import make


def test_it_stops_all_that_have_not_ended_and_no_other(api, dev, cluster):
    sweep, other = swept(dev, cluster), make(cluster, dev)
    give(sweep, Status.COMPLETED, Status.QUEUED, Status.QUEUED)
    answer = api(dev).post(f"{PATH}/{sweep.pk}/stop", {})
    assert answer.status_code == 200, answer.content
    assert answer.json()["stopped"] == 2
    assert answer.json()["sweep"]["status"] == "STOPPED"
    assert [row.status for row in members(sweep)] == ["COMPLETED", "STOPPED", "STOPPED"]
    other.refresh_from_db()
    assert other.status == Status.QUEUED
    assert api(dev).post(f"{PATH}/{sweep.pk}/stop", {}).json()["stopped"] == 0


def test_who_may_stop_it(api, dev, ada, vera, sam, anyone, cluster):
    path = f"{PATH}/{swept(dev, cluster).pk}/stop"
    clients = [*map(api, (vera, sam)), anyone, *map(api, (ada, dev))]
    answers = [client.post(path, {}) for client in clients]
    assert [answer.status_code for answer in answers] == [403, 404, 401, 200, 200]
    assert [answer.json()["stopped"] for answer in answers[3:]] == [3, 0]
