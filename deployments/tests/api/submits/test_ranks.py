"""No user gives all replicas of a gang the same rank."""

import pytest

from deployments.models import Deployment
from deployments.tests.workloads import body

pytestmark = pytest.mark.django_db

PATH = "/api/deployments"
RANKS = ["RANK", "NODE_RANK", "PET_NODE_RANK", "JAX_PROCESS_ID"]


@pytest.mark.parametrize("name", RANKS)
def test_a_gang_with_a_rank_in_its_env_is_refused(api, dev, cluster, name):
    answer = api(dev).post(PATH, body(cluster, replicas=2, env={name: "0", "SEED": "1"}))
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"env": [f"Each replica of a gang gets its own {name}."]}
    assert not Deployment.objects.exists()


def test_an_item_of_a_bulk_is_refused_like_a_submit(api, dev, cluster):
    items = [body(cluster), body(cluster, replicas=2, env={"RANK": "0"})]
    answer = api(dev).post(f"{PATH}/bulk", {"deployments": items})
    assert answer.status_code == 400
    assert "own RANK" in str(answer.json())
    assert not Deployment.objects.exists()


def test_one_replica_may_have_any_rank_and_a_gang_what_all_may_share(api, dev, cluster):
    alone = api(dev).post(PATH, body(cluster, env={"RANK": "0"}))
    gang = api(dev).post(PATH, body(cluster, replicas=2, env={"WORLD_SIZE": "16"}))
    assert (alone.status_code, gang.status_code) == (201, 201)


def test_one_with_a_rank_does_not_become_a_gang(api, dev, cluster):
    alone = api(dev).post(PATH, body(cluster, env={"RANK": "0"})).json()
    answer = api(dev).patch(f"{PATH}/{alone['id']}", {"replicas": 2})
    assert answer.status_code == 400
    assert "own RANK" in str(answer.json()["fields"]["replicas"])
    assert Deployment.objects.get().replicas == 1
