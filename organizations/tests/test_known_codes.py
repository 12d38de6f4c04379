"""A removed or demoted member does not come back with a code that the member knew."""

from itertools import combinations_with_replacement
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from organizations.codes import replace_code
from organizations.models import Ban, InviteCode, Membership, Role
from organizations.services import create_organization
from organizations.tests.people import PASSWORD, all_at_once, client_for, make_member, make_user

JOIN = "/api/orgs/join"
RANKS = [Role.VIEWER, Role.DEVELOPER, Role.ADMIN]  # from the lowest to the highest


def url(org, user, list_="members"):
    return f"/api/orgs/{org.pk}/{list_}/{user.pk}"


def live(org):
    return dict(org.invite_codes.filter(rotated_at=None).values_list("role", "code"))


def seen_by(user):
    """The codes that the user's own list of organizations shows."""
    (shown,) = client_for(user).get("/api/orgs/my").json()
    return [shown[f"{role.lower()}_invite_code"] for role in Role]


def join(user, code):
    return client_for(user).post(JOIN, {"invite_code": code})


def removed_by_another(org, ada, eve):
    assert client_for(ada).delete(url(org, eve)).status_code == 204


def gone_by_herself(org, ada, eve):
    assert client_for(eve).delete(url(org, eve)).status_code == 204


def demoted_by_another(org, ada, eve):
    assert client_for(ada).patch(url(org, eve), {"role": "VIEWER"}).status_code == 200
    assert client_for(eve).delete(url(org, eve)).status_code == 204


def demoted_by_herself(org, ada, eve):
    assert client_for(eve).patch(url(org, eve), {"role": "DEVELOPER"}).status_code == 200
    assert client_for(eve).delete(url(org, eve)).status_code == 204


def operator():
    return User.objects.create_superuser("root", password=PASSWORD)


def page_of(membership, page):
    return reverse(f"admin:organizations_membership_{page}", args=[membership.pk])


def demoted_by_an_operator(org, ada, eve, client):
    client.force_login(operator())
    page = page_of(Membership.objects.get(user=eve), "change")
    assert client.post(page, {"role": "VIEWER"}).status_code == 302
    assert client_for(eve).delete(url(org, eve)).status_code == 204


def removed_by_an_operator(org, ada, eve, client):
    client.force_login(operator())
    page = page_of(Membership.objects.get(user=eve), "delete")
    assert client.post(page, {"post": "yes"}).status_code == 302


def removed_from_the_operators_list(org, ada, eve, client):
    client.force_login(operator())
    chosen = Membership.objects.get(user=eve).pk
    body = {"action": "delete_selected", "_selected_action": [chosen], "post": "yes"}
    page = reverse("admin:organizations_membership_changelist")
    assert client.post(page, body).status_code == 302


WAYS_OUT = [removed_by_another, gone_by_herself, demoted_by_another, demoted_by_herself]
BY_OPERATORS = [
    demoted_by_an_operator,
    removed_by_an_operator,
    removed_from_the_operators_list,
]


@pytest.fixture
def eve(org):
    return make_member(org, "eve", Role.ADMIN)


class TestAnAdminWhoIsNoneAnyMore:
    @pytest.mark.parametrize("way_out", WAYS_OUT)
    def test_comes_back_with_no_code_by_no_account(self, org, ada, eve, sam, way_out):
        known = seen_by(eve)
        assert None not in known
        way_out(org, ada, eve)
        for code in known:
            for account in (eve, sam):
                answer = join(account, code)
                assert answer.status_code == 400
                assert answer.json()["code"] == "invalid_invite_code"
        assert not org.memberships.filter(user__in=[eve, sam]).exists()
        assert set(live(org)) == set(Role)

    @pytest.mark.parametrize("way_out", BY_OPERATORS)
    def test_nor_if_an_operator_did_it(self, org, ada, eve, sam, client, way_out):
        known = seen_by(eve)
        way_out(org, ada, eve, client)
        assert {join(each, code).status_code for code in known for each in (eve, sam)} == {400}
        assert not org.memberships.filter(user__in=[eve, sam]).exists()

    @pytest.mark.parametrize("end", ["delete", "deactivate"])
    def test_nor_if_the_account_has_ended(self, org, ada, eve, sam, end):
        known = seen_by(eve)
        if end == "delete":
            eve.delete()
        else:
            eve.is_active = False
            eve.save()
        assert {join(sam, code).status_code for code in known} == {400}
        before = live(org)
        if end == "deactivate":
            eve.email = "eve@example.org"
            eve.save()  # which ends nothing
        assert live(org) == before

    def test_nor_with_codes_that_she_made_for_later(self, org, ada, eve, sam):
        made = client_for(eve).post(f"/api/orgs/{org.pk}/invite-codes", {"role": "ADMIN"})
        removed_by_another(org, ada, eve)
        assert join(sam, made.json()["code"]).status_code == 400

    def test_and_another_organization_keeps_its_codes(self, org, ada, eve, sams_org):
        before = live(sams_org)
        removed_by_another(org, ada, eve)
        assert live(sams_org) == before


@pytest.mark.parametrize(("after", "before"), [*combinations_with_replacement(RANKS, 2)])
def test_a_demotion_replaces_the_codes_up_to_the_role_before(api, ada, org, before, after):
    """A member who is no ADMIN knows the code used to join, whose role is not above the own one."""
    member, codes = make_member(org, "member", before), live(org)
    assert api(ada).patch(url(org, member), {"role": after}).status_code == 200
    replaced = {role for role, code in live(org).items() if code != codes[role]}
    known = RANKS[: RANKS.index(before) + 1]
    assert replaced == (set(known) if before != after else set())


@pytest.mark.parametrize("role", RANKS)
def test_a_promotion_replaces_no_code(api, ada, org, vera, role):
    codes = live(org)
    assert api(ada).patch(url(org, vera), {"role": role}).status_code == 200
    assert live(org) == codes


@pytest.mark.parametrize("role", RANKS)
def test_a_removal_replaces_the_codes_up_to_the_members_role(api, ada, org, role):
    member, codes = make_member(org, "member", role), live(org)
    assert api(ada).delete(url(org, member)).status_code == 204
    replaced = {each for each, code in live(org).items() if code != codes[each]}
    assert replaced == set(RANKS[: RANKS.index(role) + 1])


def test_a_demoted_developer_does_not_rejoin_with_the_code_used_to_join(api, ada, org, sam):
    code = live(org)["DEVELOPER"]
    assert join(sam, code).status_code == 200
    assert api(ada).patch(url(org, sam), {"role": "VIEWER"}).status_code == 200
    assert api(sam).delete(url(org, sam)).status_code == 204
    assert join(sam, code).status_code == 400


@pytest.mark.parametrize("role", [Role.VIEWER, Role.DEVELOPER])
def test_a_member_who_joins_and_leaves_makes_no_code_useless_for_others(org, sam, role):
    codes = live(org)
    for _ in range(2):
        assert join(sam, codes[role]).status_code == 200
        assert client_for(sam).delete(url(org, sam)).status_code == 204
    assert live(org) == codes


def test_new_codes_have_what_was_left_of_the_old_ones_limits(org, ada, eve, sam):
    replace_code(org.pk, Role.ADMIN, expires_in_s=3600, max_uses=5)
    ends = org.invite_codes.get(role=Role.ADMIN, rotated_at=None).expires_at
    org.invite_codes.filter(role=Role.ADMIN, rotated_at=None).update(uses=2)
    removed_by_another(org, ada, eve)
    left = org.invite_codes.get(role=Role.ADMIN, rotated_at=None)
    assert (left.expires_at, left.max_uses, left.uses) == (ends, 3, 0)


def test_no_code_is_made_where_there_was_none_to_use(org, ada, eve):
    spent = org.invite_codes.get(role=Role.ADMIN)
    InviteCode.objects.filter(pk=spent.pk).update(max_uses=1, uses=1)
    org.invite_codes.filter(role=Role.VIEWER).update(expires_at=timezone.now())
    codes = live(org)
    removed_by_another(org, ada, eve)
    assert {role for role, code in live(org).items() if code != codes[role]} == {"DEVELOPER"}


# --- Joining while the codes are replaced ---------------------------------------------------------


@pytest.mark.parametrize("way_out", ["remove", "leave", "demote and leave"])
def test_no_race_brings_the_removed_admin_back(transactional_db, way_out):
    """She and a second account of hers try all the time, by every code that she has seen."""
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    for attempt in range(5):
        eve = make_member(org, f"eve-{attempt}", Role.ADMIN)
        second = [make_user(f"second-{attempt}-{number}") for number in range(3)]
        known = live(org)
        results: dict[str, Any] = {}

        def end(eve=eve, known=known, results=results):
            if way_out == "demote and leave":
                client_for(ada).patch(url(org, eve), {"role": "VIEWER"})
            who = ada if way_out == "remove" else eve
            results["end"] = client_for(who).delete(url(org, eve)).status_code
            results["after"] = {join(eve, code).status_code for code in known.values()}

        def rejoin(user, role, known=known):
            return lambda: [join(user, known[role]).status_code for _ in range(4)]

        answers = all_at_once(
            end,
            *(rejoin(eve, role) for role in Role),
            *(rejoin(user, role) for user, role in zip(second, Role, strict=True)),
        )
        assert not [each for each in answers if isinstance(each, Exception)], answers
        assert (results["end"], results["after"]) == (204, {400})
        assert not Membership.objects.filter(user=eve).exists()
        # Who joined before the end is listed, and none of the codes lets in another.
        assert {
            join(make_user(f"late-{attempt}-{role}"), known[role]).status_code for role in Role
        } == {400}
        assert not set(known.values()) & set(live(org).values())
        assert Ban.objects.filter(user=eve).exists() == (way_out == "remove")
