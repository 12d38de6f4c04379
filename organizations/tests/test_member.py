"""PATCH, DELETE /api/orgs/{id}/members/{user_id}"""

from uuid import uuid4

import pytest

from organizations.models import Membership, Role
from organizations.services import create_organization
from organizations.tests.people import all_at_once, client_for, make_member, make_user


def url(organization, user):
    return f"/api/orgs/{organization.pk}/members/{user.pk}"


def roles(organization):
    return dict(organization.memberships.values_list("user__username", "role"))


@pytest.fixture
def everyone(ada, dev, vera, org):
    return {"ada": "ADMIN", "dev": "DEVELOPER", "vera": "VIEWER"}


class TestChangingARole:
    @pytest.mark.parametrize("role", list(Role))
    def test_an_admin_may(self, api, ada, dev, org, everyone, role):
        answer = api(ada).patch(url(org, dev), {"role": role})
        assert answer.status_code == 200
        assert set(answer.json()) == {"user_id", "username", "role", "joined_at"}
        assert (answer.json()["username"], answer.json()["role"]) == ("dev", role)
        assert roles(org) == everyone | {"dev": role}

    @pytest.mark.parametrize("person", ["dev", "vera"])
    def test_other_roles_get_403(self, api, dev, vera, org, everyone, person, request):
        user = request.getfixturevalue(person)
        for target in (dev, vera):
            answer = api(user).patch(url(org, target), {"role": "ADMIN"})
            assert answer.status_code == 403
            assert answer.json()["code"] == "permission_denied"
            assert everyone[person] in answer.json()["detail"]
        assert roles(org) == everyone

    def test_a_stranger_finds_nothing(self, api, dev, org, everyone, sam):
        assert api(sam).patch(url(org, dev), {"role": "ADMIN"}).status_code == 404
        assert api(sam).patch(url(org, sam), {"role": "ADMIN"}).status_code == 404
        assert roles(org) == everyone

    def test_a_user_who_is_no_member_is_404(self, api, ada, org, everyone, sam):
        for stranger in (sam.pk, uuid4(), "1"):
            path = f"/api/orgs/{org.pk}/members/{stranger}"
            assert api(ada).patch(path, {"role": "VIEWER"}).status_code == 404
        assert roles(org) == everyone

    def test_the_last_admin_cannot_step_down(self, api, ada, org, everyone):
        answer = api(ada).patch(url(org, ada), {"role": "DEVELOPER"})
        assert answer.status_code == 409
        assert answer.json()["code"] == "last_admin"
        assert roles(org) == everyone

    def test_the_last_admin_may_stay_one(self, api, ada, org, everyone):
        assert api(ada).patch(url(org, ada), {"role": "ADMIN"}).status_code == 200
        assert roles(org) == everyone

    def test_one_of_two_admins_may_step_down(self, api, ada, dev, org, everyone):
        api(ada).patch(url(org, dev), {"role": "ADMIN"})
        assert api(ada).patch(url(org, ada), {"role": "VIEWER"}).status_code == 200
        assert roles(org) == everyone | {"ada": "VIEWER", "dev": "ADMIN"}

    def test_an_admin_who_cannot_log_in_does_not_count(self, api, ada, dev, org, everyone):
        api(ada).patch(url(org, dev), {"role": "ADMIN"})
        dev.is_active = False
        dev.save()
        assert api(ada).patch(url(org, ada), {"role": "VIEWER"}).status_code == 409
        assert api(ada).patch(url(org, dev), {"role": "VIEWER"}).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [{}, *({"role": role} for role in (None, "OWNER", "admin", 1, ["ADMIN"]))],
    )
    def test_an_unknown_role_is_named(self, api, ada, dev, org, everyone, body):
        answer = api(ada).patch(url(org, dev), body)
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {"role"}
        assert roles(org) == everyone

    def test_unknown_fields_are_refused(self, api, ada, dev, org, everyone):
        answer = api(ada).patch(url(org, dev), {"role": "VIEWER", "user_id": str(ada.pk)})
        assert answer.status_code == 400
        assert roles(org) == everyone


class TestEndingAMembership:
    def test_an_admin_removes_a_member(self, api, ada, dev, org, everyone):
        answer = api(ada).delete(url(org, dev))
        assert (answer.status_code, answer.content) == (204, b"")
        assert roles(org) == {"ada": "ADMIN", "vera": "VIEWER"}
        assert api(dev).get(f"/api/orgs/{org.pk}/members").status_code == 404
        assert api(ada).delete(url(org, dev)).status_code == 404

    @pytest.mark.parametrize("person", ["dev", "vera"])
    def test_every_member_may_leave(self, api, org, everyone, person, request):
        user = request.getfixturevalue(person)
        assert api(user).delete(url(org, user)).status_code == 204
        assert person not in roles(org)

    def test_only_an_admin_removes_other_members(self, api, ada, dev, vera, org, everyone):
        assert api(dev).delete(url(org, vera)).status_code == 403
        assert api(vera).delete(url(org, ada)).status_code == 403
        assert roles(org) == everyone

    def test_a_stranger_finds_nothing(self, api, dev, org, everyone, sam):
        assert api(sam).delete(url(org, dev)).status_code == 404
        assert api(sam).delete(url(org, sam)).status_code == 404
        assert roles(org) == everyone

    def test_another_organization_is_untouched(self, api, ada, dev, org, sam, sams_org):
        Membership.objects.create(organization=sams_org, user=dev, role=Role.ADMIN)
        api(ada).delete(url(org, dev))
        assert roles(sams_org) == {"sam": "ADMIN", "dev": "ADMIN"}

    def test_the_last_admin_cannot_leave(self, api, ada, org, everyone):
        answer = api(ada).delete(url(org, ada))
        assert answer.status_code == 409
        assert answer.json()["code"] == "last_admin"
        assert roles(org) == everyone

    def test_one_of_two_admins_may_leave(self, api, ada, dev, org, everyone):
        api(ada).patch(url(org, dev), {"role": "ADMIN"})
        assert api(ada).delete(url(org, ada)).status_code == 204
        assert roles(org) == {"dev": "ADMIN", "vera": "VIEWER"}


def test_a_call_without_a_token_is_401(anyone, dev, org):
    assert anyone.patch(url(org, dev), {"role": "ADMIN"}).status_code == 401
    assert anyone.delete(url(org, dev)).status_code == 401
    assert roles(org) == {"ada": "ADMIN", "dev": "DEVELOPER"}


def test_of_all_admins_who_leave_at_once_one_stays(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    admins = [ada, *(make_member(org, f"admin-{number}", Role.ADMIN) for number in range(3))]

    def leave(user):
        return lambda: client_for(user).delete(url(org, user)).status_code

    def step_down(user):
        change = {"role": "VIEWER"}
        return lambda: client_for(user).patch(url(org, user), change).status_code

    answers = all_at_once(*map(leave, admins[:2]), *map(step_down, admins[2:]))
    assert answers.count(409) == 1, answers
    assert list(roles(org).values()).count("ADMIN") == 1


def test_of_two_admins_who_remove_each_other_at_once_one_stays(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    eve = make_member(org, "eve", Role.ADMIN)
    answers = all_at_once(
        lambda: client_for(ada).delete(url(org, eve)).status_code,
        lambda: client_for(eve).delete(url(org, ada)).status_code,
    )
    assert sorted(answers) == [204, 404]  # the member removed first is a stranger by then
    assert list(roles(org).values()) == ["ADMIN"]
