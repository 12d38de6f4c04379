"""POST /api/orgs/join"""

from datetime import timedelta

import pytest
from django.utils import timezone

from organizations.models import InviteCode, Membership, Role
from organizations.services import create_organization
from organizations.tests.people import all_at_once, client_for, make_user

URL = "/api/orgs/join"


def code_for(organization, role, **changes):
    """The live code of that role, with some of its columns changed."""
    codes = InviteCode.objects.filter(organization=organization, role=role, rotated_at=None)
    if changes:
        codes.update(**changes)
    return codes.get()


def refused(user, organization, code, reason):
    """A 400 that names the code; `user` stays a stranger and no use is counted."""
    before = InviteCode.objects.filter(code=code).values("uses").first()
    answer = client_for(user).post(URL, {"invite_code": code})
    assert answer.status_code == 400
    assert answer.json()["code"] == reason
    assert set(answer.json()["fields"]) == {"invite_code"}
    assert not Membership.objects.filter(user=user, organization=organization).exists()
    assert InviteCode.objects.filter(code=code).values("uses").first() == before


@pytest.mark.parametrize("role", list(Role))
def test_a_user_joins_in_the_role_of_the_code(api, org, sam, role):
    code = code_for(org, role)
    answer = api(sam).post(URL, {"invite_code": code.code})
    assert answer.status_code == 200
    named = {"organization_id": str(org.pk), "organization": org.name}
    assert answer.json() == {**named, "role": role}
    assert Membership.objects.get(user=sam, organization=org).role == role
    code.refresh_from_db()
    assert code.uses == 1


def test_a_code_pasted_with_a_line_end_is_taken(api, org, sam):
    answer = api(sam).post(URL, {"invite_code": f" {code_for(org, Role.VIEWER).code}\n"})
    assert answer.status_code == 200


def test_an_unknown_code(org, sam):
    refused(sam, org, "no-such-code", "invalid_invite_code")


def test_letter_case_counts(org, sam):
    refused(sam, org, code_for(org, Role.ADMIN).code.swapcase(), "invalid_invite_code")


def test_a_replaced_code(org, sam):
    code = code_for(org, Role.ADMIN)
    InviteCode.objects.filter(pk=code.pk).update(rotated_at=timezone.now())
    refused(sam, org, code.code, "invalid_invite_code")


def test_an_expired_code(org, sam):
    code = code_for(org, Role.VIEWER, expires_at=timezone.now() - timedelta(seconds=1))
    refused(sam, org, code.code, "expired_invite_code")


def test_a_used_up_code(api, org, sam, dev):
    code = code_for(org, Role.VIEWER, max_uses=1)
    assert api(sam).post(URL, {"invite_code": code.code}).status_code == 200
    refused(make_user("eve"), org, code.code, "used_up_invite_code")


@pytest.mark.parametrize("role", list(Role))
def test_a_member_who_joins_again_keeps_the_role_and_counts_no_use(api, org, vera, role):
    code = code_for(org, role, max_uses=5)
    answer = api(vera).post(URL, {"invite_code": code.code})
    assert answer.status_code == 409
    assert answer.json()["code"] == "already_a_member"
    assert Membership.objects.get(user=vera).role == "VIEWER"
    code.refresh_from_db()
    assert code.uses == 0


def test_a_member_who_repeats_a_join_gets_409_also_for_a_used_up_code(api, org, sam):
    """A user whose answer was lost tries again, and learns of the membership."""
    code = code_for(org, Role.VIEWER, max_uses=1)
    api(sam).post(URL, {"invite_code": code.code})
    assert api(sam).post(URL, {"invite_code": code.code}).status_code == 409


@pytest.mark.parametrize("value", [None, "", 1, True, [], {}, "x" * 41])
def test_a_value_that_cannot_be_a_code_is_named(api, sam, value):
    answer = api(sam).post(URL, {"invite_code": value})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"invite_code"}


def test_unknown_fields_are_refused(api, org, sam):
    body = {"invite_code": code_for(org, Role.VIEWER).code, "role": "ADMIN"}
    answer = api(sam).post(URL, body)
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"role"}
    assert Membership.objects.filter(user=sam).count() == 1


def test_a_call_without_a_token_is_401(anyone, org):
    body = {"invite_code": code_for(org, Role.VIEWER).code}
    assert anyone.post(URL, body).status_code == 401
    assert Membership.objects.count() == 1


def join(user, code):
    return lambda: client_for(user).post(URL, {"invite_code": code.code}).status_code


def test_a_code_keeps_its_limit_when_many_users_join_at_once(transactional_db):
    org = create_organization(make_user("ada"), "Analytical Engines")
    code = code_for(org, Role.VIEWER, max_uses=3)
    users = [make_user(f"user-{number}") for number in range(8)]
    answers = all_at_once(*(join(user, code) for user in users))
    assert sorted(answers) == [200] * 3 + [400] * 5
    code.refresh_from_db()
    assert code.uses == 3
    assert Membership.objects.filter(organization=org, role="VIEWER").count() == 3


def test_a_user_who_joins_twice_at_once_is_one_member(transactional_db):
    org = create_organization(make_user("ada"), "Analytical Engines")
    sam = make_user("sam")
    codes = [code_for(org, role) for role in Role]
    answers = all_at_once(*(join(sam, code) for code in codes * 2))
    assert sorted(answers) == [200] + [409] * 5
    assert Membership.objects.filter(user=sam).count() == 1
    assert sum(InviteCode.objects.values_list("uses", flat=True)) == 1
