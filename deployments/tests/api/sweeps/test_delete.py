"""DELETE /api/sweeps/{id}"""

from deployments.models import Deployment, Status, Sweep
from deployments.tests.api.sweeps.sweeping import PATH, give, swept

ENDED = (Status.COMPLETED, Status.FAILED, Status.STOPPED)


def test_its_members_stay_as_deployments(api, dev, cluster):
    sweep = swept(dev, cluster)
    give(sweep, *ENDED)
    assert api(dev).delete(f"{PATH}/{sweep.pk}").status_code == 204
    assert not Sweep.objects.exists()
    assert Deployment.objects.filter(sweep=None).count() == 3
    assert api(dev).get(f"{PATH}/{sweep.pk}").status_code == 404


def test_one_that_goes_on_is_refused(api, dev, cluster):
    sweep = swept(dev, cluster)
    give(sweep, Status.COMPLETED, Status.COMPLETED, Status.QUEUED)
    answer = api(dev).delete(f"{PATH}/{sweep.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "sweep_not_ended")
    assert Deployment.objects.filter(sweep=sweep).count() == 3


def test_who_may_delete_it(api, dev, ada, vera, sam, anyone, cluster):
    sweep = swept(dev, cluster)
    give(sweep, *ENDED)
    path = f"{PATH}/{sweep.pk}"
    clients = [*map(api, (vera, sam)), anyone, api(ada)]
    assert [client.delete(path).status_code for client in clients] == [403, 404, 401, 204]
