"""POST /api/orgs/create"""

import pytest

from organizations.models import InviteCode, Membership, Organization

URL = "/api/orgs/create"


def test_the_founder_is_admin_and_gets_a_code_for_each_role(api, ada):
    answer = api(ada).post(URL, {"name": "  Analytical Engines "})
    assert answer.status_code == 201
    body = answer.json()
    organization = Organization.objects.get()
    assert (body["id"], body["name"]) == (str(organization.pk), "Analytical Engines")
    assert set(body) == {
        "id",
        "name",
        "admin_invite_code",
        "developer_invite_code",
        "viewer_invite_code",
    }
    for role in ("ADMIN", "DEVELOPER", "VIEWER"):
        code = InviteCode.objects.get(role=role)
        assert body[f"{role.lower()}_invite_code"] == code.code
        assert len(code.code) >= 20
    membership = Membership.objects.get()
    assert (membership.user, membership.role) == (ada, "ADMIN")


@pytest.mark.parametrize("name", [None, "", "   ", "x" * 101, 1, True, [], {}])
def test_an_invalid_name_is_refused(api, ada, name):
    answer = api(ada).post(URL, {"name": name})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"name"}
    assert not Organization.objects.exists()


def test_missing_and_unknown_fields_are_named(api, ada):
    answer = api(ada).post(URL, {"nmae": "Analytical Engines"})
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {"name", "nmae"}
    assert not Organization.objects.exists()


def test_a_nul_character_is_refused(api, ada):
    answer = api(ada).post(URL, '{"name": "a\\u0000b"}', content_type="application/json")
    assert answer.status_code == 400
    assert not Organization.objects.exists()


def test_a_call_without_a_token_is_401(anyone, db):
    assert anyone.post(URL, {"name": "Analytical Engines"}).status_code == 401
    assert not Organization.objects.exists()


def test_a_user_founds_no_more_organizations_than_allowed(api, ada, sam, org, settings):
    settings.MAX_ORGANIZATIONS_PER_USER = 2
    assert api(ada).post(URL, {"name": "second"}).status_code == 201
    refused = api(ada).post(URL, {"name": "third"})
    assert (refused.status_code, refused.json()["code"]) == (409, "full")
    assert Membership.objects.filter(user=ada).count() == 2
    assert not Organization.objects.filter(name="third").exists()
    assert api(sam).post(URL, {"name": "another user's"}).status_code == 201
