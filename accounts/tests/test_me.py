"""GET, PATCH /api/users/me"""

import pytest

from accounts.models import User, UserProfile

URL = "/api/users/me"


def test_each_user_sees_the_own_account(api, ada, org, sam, sams_org):
    answer = api(ada).get(URL)
    assert answer.status_code == 200
    assert answer.json() == {
        "id": str(ada.pk),
        "username": "ada",
        "email": "",
        "email_verified": False,
        "date_joined": ada.date_joined.isoformat().replace("+00:00", "Z"),
        "profile": {"display_name": "", "timezone": "UTC"},
        "memberships": [
            {
                "organization_id": str(org.pk),
                "organization": "Analytical Engines",
                "role": "ADMIN",
            }
        ],
    }


def test_it_costs_three_queries_however_many_memberships(api, ada, org, django_assert_num_queries):
    from organizations.services import create_organization

    for number in range(5):
        create_organization(ada, f"Number {number}")
    client = api(ada)
    with django_assert_num_queries(3):  # the user, the profile, the memberships
        assert len(client.get(URL).json()["memberships"]) == 6


def test_a_user_without_a_profile_sees_an_empty_profile(api, ada):
    UserProfile.objects.all().delete()
    assert api(ada).get(URL).json()["profile"] == {"display_name": "", "timezone": "UTC"}
    answer = api(ada).patch(URL, {"profile": {"display_name": "Ada"}})
    assert answer.json()["profile"] == {"display_name": "Ada", "timezone": "UTC"}


def test_the_given_fields_change_and_the_others_stay(api, ada, dev):
    client = api(ada)
    client.patch(URL, {"email": "ada@Example.org", "profile": {"timezone": "Europe/London"}})
    answer = client.patch(URL, {"profile": {"display_name": "Ada Lovelace"}})
    assert answer.status_code == 200
    assert answer.json()["email"] == "ada@example.org"
    assert answer.json()["profile"] == {
        "display_name": "Ada Lovelace",
        "timezone": "Europe/London",
    }
    dev.refresh_from_db()
    assert (dev.email, dev.profile.display_name, dev.profile.timezone) == ("", "", "UTC")


def test_an_empty_change_changes_nothing(api, ada):
    before = api(ada).get(URL).json()
    answer = api(ada).patch(URL, {})
    assert answer.status_code == 200
    assert answer.json() == before
    assert api(ada).patch(URL, {"profile": {}}).json() == before


def test_an_email_and_a_name_can_be_emptied(api, ada):
    client = api(ada)
    client.patch(URL, {"email": "ada@example.org", "profile": {"display_name": "Ada"}})
    body = client.patch(URL, {"email": "", "profile": {"display_name": ""}}).json()
    assert (body["email"], body["profile"]["display_name"]) == ("", "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "ada"}, "email"),
        ({"email": None}, "email"),
        ({"email": 5}, "email"),
        ({"username": "eve"}, "username"),
        ({"is_staff": True}, "is_staff"),
        ({"password": "x"}, "password"),
        ({"memberships": []}, "memberships"),
        ({"profile": None}, "profile"),
        ({"profile": "x"}, "profile"),
        ({"profile": []}, "profile"),
        ({"profile": {"display_name": None}}, "profile"),
        ({"profile": {"display_name": 5}}, "profile"),
        ({"profile": {"display_name": "x" * 101}}, "profile"),
        ({"profile": {"timezone": "Mars/Olympus"}}, "profile"),
        ({"profile": {"timezone": "europe/london"}}, "profile"),
        ({"profile": {"timezone": "../etc/passwd"}}, "profile"),
        ({"profile": {"timezone": ""}}, "profile"),
        ({"profile": {"timezone": 1}}, "profile"),
        ({"profile": {"user": "x"}}, "profile"),
    ],
)
def test_a_faulty_change_changes_nothing(api, ada, body, field):
    sound = {"email": "new@example.org", "profile": {"display_name": "New"}}
    answer = api(ada).patch(URL, sound | body)
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {field}
    ada = User.objects.select_related("profile").get()
    assert (ada.username, ada.email, ada.profile.display_name) == ("ada", "", "")
    assert not ada.is_staff


def test_the_inner_field_at_fault_is_named(api, ada):
    answer = api(ada).patch(URL, {"profile": {"timezone": "Mars/Olympus"}})
    assert set(answer.json()["fields"]["profile"]) == {"timezone"}


def test_a_call_without_a_token_is_401(anyone, db):
    assert anyone.get(URL).status_code == 401
    assert anyone.patch(URL, {"email": "a@example.org"}).status_code == 401


@pytest.mark.parametrize("method", ["put", "post", "delete"])
def test_other_methods_do_not_exist(api, ada, method):
    answer = getattr(api(ada), method)(URL, {})
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
