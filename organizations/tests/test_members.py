"""GET /api/orgs/{id}/members"""

from uuid import uuid4

import pytest

from organizations.models import Role
from organizations.tests.people import make_member


def url(organization_id):
    return f"/api/orgs/{organization_id}/members"


@pytest.mark.parametrize("person", ["ada", "dev", "vera"])
def test_every_member_sees_all(api, ada, dev, vera, org, person, request):
    answer = api(request.getfixturevalue(person)).get(url(org.pk))
    assert answer.status_code == 200
    joined = org.memberships.get(user=ada).joined_at
    assert answer.json()[0] == {
        "user_id": str(ada.pk),
        "username": "ada",
        "role": "ADMIN",
        "joined_at": joined.isoformat().replace("+00:00", "Z"),
    }
    assert [(row["username"], row["role"]) for row in answer.json()[1:]] == [
        ("dev", "DEVELOPER"),
        ("vera", "VIEWER"),
    ]


def test_a_stranger_gets_the_404_of_an_unknown_organization(api, org, sam):
    strange, nothing = api(sam).get(url(org.pk)), api(sam).get(url(uuid4()))
    assert strange.status_code == nothing.status_code == 404
    assert strange.content == nothing.content


@pytest.mark.parametrize("organization_id", ["1", "x", "%00", "0" * 32, "1" * 5000])
def test_a_text_that_is_no_id_is_404(api, ada, organization_id):
    answer = api(ada).get(url(organization_id))
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_it_costs_three_queries_however_many(api, ada, org, django_assert_num_queries):
    for number in range(10):
        make_member(org, f"user-{number}", Role.VIEWER)
    client = api(ada)
    for limit in (1, 100):
        with django_assert_num_queries(3):  # the user, their role, the list
            client.get(f"{url(org.pk)}?limit={limit}")


def test_pages_follow_each_other(api, ada, dev, vera, org):
    client = api(vera)
    first = client.get(f"{url(org.pk)}?limit=2")
    second = client.get(first.headers["Link"][1:].partition(">")[0])
    assert [row["username"] for row in first.json() + second.json()] == ["ada", "dev", "vera"]


def test_a_call_without_a_token_is_401(anyone, org):
    assert anyone.get(url(org.pk)).status_code == 401
