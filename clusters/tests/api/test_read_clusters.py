"""GET /api/clusters and /api/clusters/{id}"""

import pytest

from clusters.tests.allocation import make_cluster
from clusters.tests.paging import all_rows

PATH = "/api/clusters"


@pytest.mark.parametrize("person", ["ada", "dev", "vera"])
def test_members_see_their_clusters(api, cluster, sams_org, person, request):
    make_cluster(sams_org)
    client = api(request.getfixturevalue(person))
    listed = client.get(PATH)
    assert listed.status_code == 200
    assert [row["id"] for row in listed.json()] == [str(cluster.pk)]
    one = client.get(f"{PATH}/{cluster.pk}")
    assert one.status_code == 200
    assert one.json() == listed.json()[0]


def test_allocated_capacity_is_not_available(api, ada, org):
    cluster = make_cluster(org, allocated_cpu_milli=1500, allocated_ram_mib=384, allocated_gpu=1)
    answer = api(ada).get(f"{PATH}/{cluster.pk}").json()
    assert [answer[f"allocated_{name}"] for name in ("cpu", "ram", "gpu")] == [1.5, 384, 1]
    assert [answer[f"available_{name}"] for name in ("cpu", "ram", "gpu")] == [6.5, 16000, 3]


def test_a_stranger_sees_nothing(api, sam, cluster):
    assert api(sam).get(PATH).json() == []
    assert api(sam).get(f"{PATH}/{cluster.pk}").status_code == 404


def test_a_call_without_a_token_is_401(anyone, cluster):
    assert anyone.get(PATH).status_code == 401
    assert anyone.get(f"{PATH}/{cluster.pk}").status_code == 401


@pytest.mark.parametrize("wrong", ["7", "nonsense", "0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305"])
def test_an_unknown_cluster_is_404(api, ada, org, wrong):
    assert api(ada).get(f"{PATH}/{wrong}").status_code == 404


def test_an_unknown_parameter_is_refused(api, ada, cluster):
    response = api(ada).get(PATH, {"nmae": "west"})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["nmae"]


def test_pages_contain_each_cluster_once(api, ada, org):
    for number in range(5):
        make_cluster(org, name=f"cluster {number}")
    names = [row["name"] for row in all_rows(api(ada), f"{PATH}?limit=2")]
    assert names == [f"cluster {number}" for number in range(5)]


def test_a_list_takes_three_queries_however_long(api, ada, org, django_assert_num_queries):
    for number in range(5):
        make_cluster(org, name=f"cluster {number}")
    with django_assert_num_queries(3):  # the caller, the clusters, their closed nodes
        api(ada).get(PATH)


def test_one_takes_four(api, ada, cluster, django_assert_num_queries):
    with django_assert_num_queries(4):
        api(ada).get(f"{PATH}/{cluster.pk}")
