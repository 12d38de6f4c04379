"""POST /api/orgs/{id}/invite-codes"""

from datetime import datetime
from uuid import uuid4

import pytest
from django.utils import timezone

from organizations.models import InviteCode, Role
from organizations.services import create_organization
from organizations.tests.people import all_at_once, client_for, make_user


def url(organization):
    return f"/api/orgs/{organization.pk}/invite-codes"


def live(organization):
    return dict(organization.invite_codes.filter(rotated_at=None).values_list("role", "code"))


@pytest.mark.parametrize("role", list(Role))
def test_an_admin_replaces_the_code_of_one_role(api, ada, org, sam, role):
    before = live(org)
    answer = api(ada).post(url(org), {"role": role})
    assert answer.status_code == 201
    code = answer.json()["code"]
    assert answer.json() == {
        "role": role,
        "code": code,
        "expires_at": None,
        "max_uses": None,
        "uses": 0,
    }
    assert code != before[role]
    assert live(org) == before | {role: code}
    assert api(sam).post("/api/orgs/join", {"invite_code": before[role]}).status_code == 400
    assert api(sam).post("/api/orgs/join", {"invite_code": code}).status_code == 200


def test_limits_are_kept(api, ada, org):
    body = {"role": "VIEWER", "expires_in_s": 3600, "max_uses": 7}
    answer = api(ada).post(url(org), body)
    assert answer.status_code == 201
    left = datetime.fromisoformat(answer.json()["expires_at"]) - timezone.now()
    assert 3590 < left.total_seconds() <= 3600
    assert answer.json()["max_uses"] == 7
    code = InviteCode.objects.get(code=answer.json()["code"])
    assert (code.max_uses, code.uses, code.role) == (7, 0, "VIEWER")


def test_null_is_no_limit(api, ada, org):
    answer = api(ada).post(url(org), {"role": "VIEWER", "expires_in_s": None, "max_uses": None})
    assert answer.status_code == 201


@pytest.mark.parametrize("person", ["dev", "vera"])
def test_other_roles_get_403(api, org, person, request):
    before = live(org)
    answer = api(request.getfixturevalue(person)).post(url(org), {"role": "VIEWER"})
    assert answer.status_code == 403
    assert live(org) == before


def test_a_stranger_gets_the_404_of_an_unknown_organization(api, org, sam):
    before = live(org)
    strange = api(sam).post(url(org), {"role": "VIEWER"})
    nothing = api(sam).post(f"/api/orgs/{uuid4()}/invite-codes", {"role": "VIEWER"})
    assert strange.status_code == nothing.status_code == 404
    assert strange.content == nothing.content
    assert live(org) == before


@pytest.mark.parametrize("value", [59, 0, -1, 31_536_001, 10**30, 60.0, 90.5, "60", True, [60]])
def test_an_expiry_out_of_range_is_named(api, ada, org, value):
    before = live(org)
    answer = api(ada).post(url(org), {"role": "VIEWER", "expires_in_s": value})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"expires_in_s"}
    assert live(org) == before


@pytest.mark.parametrize("value", [0, -1, 1_000_001, 10**30, 1.0, "1", False, {}])
def test_uses_out_of_range_are_named(api, ada, org, value):
    before = live(org)
    answer = api(ada).post(url(org), {"role": "VIEWER", "max_uses": value})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"max_uses"}
    assert live(org) == before


@pytest.mark.parametrize(
    "ends", [{"expires_in_s": 60, "max_uses": 1}, {"expires_in_s": 31_536_000, "max_uses": 10**6}]
)
def test_the_ends_of_the_ranges_are_within(api, ada, org, ends):
    assert api(ada).post(url(org), {"role": "VIEWER"} | ends).status_code == 201


@pytest.mark.parametrize("role", [None, "", "OWNER", "viewer", 1, ["VIEWER"], {}])
def test_an_unknown_role_is_named(api, ada, org, role):
    before = live(org)
    answer = api(ada).post(url(org), {"role": role})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"role"}
    assert live(org) == before


def test_missing_and_unknown_fields_are_named(api, ada, org):
    answer = api(ada).post(url(org), {"code": "mine"})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"role", "code"}


def test_a_call_without_a_token_is_401(anyone, org):
    before = live(org)
    assert anyone.post(url(org), {"role": "VIEWER"}).status_code == 401
    assert live(org) == before


def test_of_codes_replaced_at_once_one_is_live(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    calls = [lambda: client_for(ada).post(url(org), {"role": "VIEWER"}).status_code] * 5
    assert all_at_once(*calls) == [201] * 5
    assert org.invite_codes.filter(role="VIEWER").count() == 6
    assert org.invite_codes.filter(role="VIEWER", rotated_at=None).count() == 1
