"""GET, DELETE /api/orgs/{id}/bans, and the log of who did what"""

import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from organizations.models import Ban, Membership, Role
from organizations.services import create_organization
from organizations.tests.people import PASSWORD, all_at_once, client_for, make_member, make_user

JOIN = "/api/orgs/join"


def bans(org):
    return f"/api/orgs/{org.pk}/bans"


def code_of(org, role):
    return org.invite_codes.get(role=role, rotated_at=None).code


@pytest.fixture
def banned(api, ada, org, vera):
    assert api(ada).delete(f"/api/orgs/{org.pk}/members/{vera.pk}").status_code == 204
    return vera


@pytest.mark.parametrize("role", list(Role))
def test_a_removed_member_stays_out_with_every_code_that_is_given_later(api, org, banned, role):
    answer = api(banned).post(JOIN, {"invite_code": code_of(org, role)})
    assert answer.status_code == 403
    assert answer.json()["code"] == "banned"
    assert org.invite_codes.get(role=role, rotated_at=None).uses == 0
    assert not Membership.objects.filter(user=banned).exists()


def test_an_admin_sees_the_removed_members_and_lets_one_in_again(api, ada, org, banned):
    (ban,) = api(ada).get(bans(org)).json()
    moment = ban.pop("banned_at")
    assert ban == {
        "user_id": str(banned.pk),
        "username": "vera",
        "role": "VIEWER",
        "banned_by": "ada",
    }
    assert timezone.now() - Ban.objects.get().banned_at < timedelta(minutes=1)
    assert moment.endswith("Z")

    assert api(ada).delete(f"{bans(org)}/{banned.pk}").status_code == 204
    assert api(ada).get(bans(org)).json() == []
    assert not Membership.objects.filter(user=banned).exists()  # the ban ends, no more
    body = {"invite_code": code_of(org, Role.VIEWER)}
    assert api(banned).post(JOIN, body).status_code == 200
    assert api(ada).delete(f"{bans(org)}/{banned.pk}").status_code == 404


def test_the_ban_counts_in_its_organization_alone(api, ada, org, banned, sams_org):
    body = {"invite_code": code_of(sams_org, Role.VIEWER)}
    assert api(banned).post(JOIN, body).status_code == 200


def test_a_member_who_leaves_is_not_banned(api, org, vera):
    assert api(vera).delete(f"/api/orgs/{org.pk}/members/{vera.pk}").status_code == 204
    body = {"invite_code": code_of(org, Role.VIEWER)}
    assert api(vera).post(JOIN, body).status_code == 200


@pytest.mark.parametrize("person", ["dev", "sam", "banned"])
def test_only_an_admin_sees_or_lifts_bans(api, org, dev, sam, banned, person, request):
    user = request.getfixturevalue(person)
    status = 403 if person == "dev" else 404
    assert api(user).get(bans(org)).status_code == status
    assert api(user).delete(f"{bans(org)}/{banned.pk}").status_code == status
    assert Ban.objects.count() == 1


def test_what_is_no_ban_is_404(api, ada, org, dev, banned):
    for key in (dev.pk, uuid4()):
        assert api(ada).delete(f"{bans(org)}/{key}").status_code == 404
    assert Ban.objects.count() == 1


def test_the_list_costs_the_same_for_few_and_many(api, ada, org, django_assert_num_queries):
    client = api(ada)
    for size in (1, 10):
        for number in range(size):
            user = make_user(f"user-{size}-{number}")
            Ban.objects.create(organization=org, user=user, role=Role.VIEWER, banned_by=ada)
        with django_assert_num_queries(3):  # the user, the role, the page
            assert client.get(bans(org)).status_code == 200


def test_a_ban_outlives_the_admin_who_made_it(api, ada, org, banned):
    eve = make_member(org, "eve", Role.ADMIN)
    ada.delete()
    (ban,) = api(eve).get(bans(org)).json()
    assert ban["banned_by"] is None


def test_who_did_what_is_logged(api, ada, org, vera, caplog):
    with caplog.at_level(logging.INFO, "organizations.services"):
        api(ada).patch(f"/api/orgs/{org.pk}/members/{vera.pk}", {"role": "DEVELOPER"})
        api(ada).delete(f"/api/orgs/{org.pk}/members/{vera.pk}")
        api(ada).delete(f"{bans(org)}/{vera.pk}")
        api(vera).post(JOIN, {"invite_code": code_of(org, Role.VIEWER)})
        api(vera).delete(f"/api/orgs/{org.pk}/members/{vera.pk}")
    lines = [line for line in caplog.records if line.name == "organizations.services"]
    assert [line.message for line in lines] == [
        "role changed",
        "member removed",
        "ban lifted",
        "member joined",
        "member left",
    ]
    assert {line.member_id for line in lines} == {str(vera.pk)}
    assert [line.actor_id for line in lines] == [str(ada.pk)] * 3 + [str(vera.pk)] * 2


def test_an_operator_lifts_a_ban_and_an_appointed_member_has_none(client, org, banned):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    page = reverse("admin:organizations_ban_changelist")
    assert "vera" in client.get(page).content.decode()
    assert client.get(reverse("admin:organizations_ban_add")).status_code == 403
    sent = {"user": str(banned.pk), "organization": str(org.pk), "role": "ADMIN"}
    assert client.post(reverse("admin:organizations_membership_add"), sent).status_code == 302
    assert not Ban.objects.exists()

    ban = Ban.objects.create(organization=org, user=banned, role=Role.VIEWER)
    client.post(reverse("admin:organizations_ban_delete", args=[ban.pk]), {"post": "yes"})
    assert not Ban.objects.exists()


def test_of_many_removals_at_once_one_makes_the_ban(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    vera = make_member(org, "vera", Role.VIEWER)
    path = f"/api/orgs/{org.pk}/members/{vera.pk}"
    answers = all_at_once(*[lambda: client_for(ada).delete(path).status_code] * 4)
    assert sorted(answers) == [204, 404, 404, 404]
    assert Ban.objects.count() == 1
