"""POST /api/users/register where not every visitor may, and with an invite code"""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from mlops_platform.environment.admission import Registration
from organizations.models import InviteCode, Membership, Role
from organizations.services import create_organization
from organizations.tests.people import PASSWORD, JsonClient, all_at_once, make_user

URL = "/api/users/register"
GRACE = {"username": "grace", "password": PASSWORD}


def code_of(org, role=Role.DEVELOPER):
    return org.invite_codes.get(role=role, rotated_at=None)


def refused(answer, status=400, *fields):
    assert answer.status_code == status, answer.content
    assert set(answer.json().get("fields", {})) == set(fields)
    assert not User.objects.filter(username="grace").exists()
    return answer.json()["code"]


def test_where_registration_is_closed_no_user_registers(anyone, org, settings):
    settings.REGISTRATION = Registration("closed")
    for body in (GRACE, {**GRACE, "invite_code": code_of(org).code}):
        assert refused(anyone.post(URL, body), 403) == "registration_closed"


class TestByInvitation:
    @pytest.fixture(autouse=True)
    def _by_invitation(self, settings):
        settings.REGISTRATION = Registration("invite")

    def test_no_user_registers_without_a_code(self, anyone, org):
        refused(anyone.post(URL, GRACE), 400, "invite_code")
        refused(anyone.post(URL, {**GRACE, "invite_code": ""}), 400, "invite_code")

    @pytest.mark.parametrize("role", list(Role))
    def test_a_code_makes_a_user_and_a_member(self, anyone, org, role):
        body = {**GRACE, "invite_code": code_of(org, role).code}
        assert anyone.post(URL, body).status_code == 201
        grace = User.objects.get(username="grace")
        assert Membership.objects.get(user=grace).role == role
        assert code_of(org, role).uses == 1
        assert grace.check_password(PASSWORD)

    def test_a_code_that_cannot_be_used_makes_no_user(self, anyone, org):
        code = code_of(org)
        changes: list[tuple[dict[str, Any], str]] = [
            ({"rotated_at": timezone.now()}, "invalid_invite_code"),
            ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired_invite_code"),
            ({"max_uses": 1, "uses": 1}, "used_up_invite_code"),
        ]
        for change, expected in changes:
            before = InviteCode.objects.filter(pk=code.pk).values().get()
            InviteCode.objects.filter(pk=code.pk).update(**change)
            answer = anyone.post(URL, {**GRACE, "invite_code": code.code})
            assert refused(answer, 400, "invite_code") == expected
            InviteCode.objects.filter(pk=code.pk).update(**before)
        unknown = anyone.post(URL, {**GRACE, "invite_code": "x" * 24})
        assert refused(unknown, 400, "invite_code") == "invalid_invite_code"

    def test_a_useless_code_costs_no_hash(self, anyone, org, monkeypatch):
        monkeypatch.setattr(User, "set_password", lambda *_: pytest.fail("hashed"))
        refused(anyone.post(URL, {**GRACE, "invite_code": "x" * 24}), 400, "invite_code")

    def test_a_weak_password_uses_no_code(self, anyone, org):
        body = {**GRACE, "password": "12345678", "invite_code": code_of(org).code}
        refused(anyone.post(URL, body), 400, "password")
        assert code_of(org).uses == 0


class TestByDomain:
    @pytest.fixture(autouse=True)
    def _by_domain(self, settings):
        settings.REGISTRATION = Registration("domains", frozenset({"example.org", "lab.test"}))

    @pytest.mark.parametrize("email", ["g@example.org", "g@EXAMPLE.org", "g@lab.test"])
    def test_an_address_in_a_domain_registers(self, anyone, db, email):
        assert anyone.post(URL, {**GRACE, "email": email}).status_code == 201

    @pytest.mark.parametrize(
        "email",
        [
            "g@example.com",
            "g@sub.example.org",
            "g@example.org.evil.test",
            "",
            '"@example.org"@x.test',
        ],
    )
    def test_another_address_does_not(self, anyone, db, email):
        refused(anyone.post(URL, {**GRACE, "email": email}), 400, "email")

    def test_none_does_not_either(self, anyone, db):
        refused(anyone.post(URL, GRACE), 400, "email")

    def test_nor_is_it_changed_to_one(self, api, ada):
        for email in ("ada@example.com", ""):
            answer = api(ada).patch("/api/users/me", {"email": email})
            assert (answer.status_code, set(answer.json()["fields"])) == (400, {"email"})
        assert api(ada).patch("/api/users/me", {"email": "a@lab.test"}).status_code == 200
        assert api(ada).patch("/api/users/me", {"profile": {}}).status_code == 200


def test_where_all_may_register_a_code_makes_a_member_too(anyone, org):
    body = {**GRACE, "invite_code": code_of(org, Role.VIEWER).code}
    assert anyone.post(URL, body).status_code == 201
    assert Membership.objects.get(user__username="grace").role == "VIEWER"
    for name in ("eve", "grace"):
        refused_body = {"username": name, "password": PASSWORD, "invite_code": "x"}
        assert anyone.post(URL, refused_body).status_code == 400
    assert not User.objects.filter(username="eve").exists()


def test_a_code_keeps_its_limit_when_many_register_at_once(transactional_db, settings):
    settings.REGISTRATION = Registration("invite")
    org = create_organization(make_user("ada"), "Analytical Engines")
    InviteCode.objects.filter(role=Role.VIEWER).update(max_uses=2)
    code = code_of(org, Role.VIEWER).code

    def register(number):
        body = {"username": f"user-{number}", "password": PASSWORD, "invite_code": code}
        return lambda: JsonClient().post(URL, body).status_code

    answers = all_at_once(*map(register, range(6)))
    assert sorted(answers) == [201, 201, 400, 400, 400, 400]
    assert User.objects.count() == 3  # a user who did not become a member does not stay
    assert org.memberships.count() == 3
