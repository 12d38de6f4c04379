"""GET /api/orgs/my"""

from datetime import timedelta

import pytest
from django.utils import timezone

from organizations.codes import replace_code
from organizations.models import InviteCode, Membership, Role
from organizations.services import create_organization

URL = "/api/orgs/my"
CODES = {"admin_invite_code", "developer_invite_code", "viewer_invite_code"}


def test_an_admin_sees_the_codes(api, ada, org, sam):
    answer = api(ada).get(URL)
    assert answer.status_code == 200
    codes = {code.role: code.code for code in org.invite_codes.all()}
    assert answer.json() == [
        {
            "id": str(org.pk),
            "name": "Analytical Engines",
            "role": "ADMIN",
            "created_at": org.created_at.isoformat().replace("+00:00", "Z"),
            "admin_invite_code": codes["ADMIN"],
            "developer_invite_code": codes["DEVELOPER"],
            "viewer_invite_code": codes["VIEWER"],
        }
    ]


@pytest.mark.parametrize("person", ["dev", "vera"])
def test_the_others_see_none(api, org, person, request):
    answer = api(request.getfixturevalue(person)).get(URL)
    (row,) = answer.json()
    assert set(row) == {"id", "name", "role", "created_at"}
    for code in InviteCode.objects.all():
        assert code.code not in answer.content.decode()


def test_codes_are_shown_only_where_the_user_is_an_admin(api, ada, org, sam, sams_org):
    Membership.objects.create(organization=sams_org, user=ada, role=Role.DEVELOPER)
    first, second = api(ada).get(URL).json()
    assert (first["name"], second["name"]) == ("Analytical Engines", "Sam's")
    assert set(first) >= CODES
    assert not set(second) & CODES


def test_an_expired_or_used_up_code_is_null(api, ada, org):
    yesterday = timezone.now() - timedelta(days=1)
    codes = InviteCode.objects.filter(organization=org)
    codes.filter(role="VIEWER").update(expires_at=yesterday)
    codes.filter(role="DEVELOPER").update(max_uses=2, uses=2)
    (row,) = api(ada).get(URL).json()
    assert (row["viewer_invite_code"], row["developer_invite_code"]) == (None, None)
    assert row["admin_invite_code"] is not None


def test_the_present_code_is_shown(api, ada, org):
    code = replace_code(org.pk, Role.VIEWER)
    (row,) = api(ada).get(URL).json()
    assert row["viewer_invite_code"] == code.code


def test_a_stranger_sees_none_of_it(api, org, sam, sams_org):
    assert [row["id"] for row in api(sam).get(URL).json()] == [str(sams_org.pk)]


def test_it_costs_three_queries_however_many(api, ada, org, django_assert_num_queries):
    for number in range(10):
        create_organization(ada, f"Number {number}")
    client = api(ada)
    for limit in (1, 100):
        with django_assert_num_queries(3):  # the user, the memberships, the codes
            client.get(f"{URL}?limit={limit}")


def test_pages_follow_each_other(api, ada, org):
    create_organization(ada, "Second")
    client = api(ada)
    first = client.get(f"{URL}?limit=1")
    second = client.get(first.headers["Link"][1:].partition(">")[0])
    assert [row["name"] for row in first.json() + second.json()] == ["Analytical Engines", "Second"]
    assert set(second.json()[0]) >= CODES
    assert "Link" not in second.headers


def test_a_call_without_a_token_is_401(anyone, db):
    assert anyone.get(URL).status_code == 401
