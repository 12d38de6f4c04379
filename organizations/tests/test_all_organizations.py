"""GET /api/orgs/all"""

from base64 import urlsafe_b64encode

import pytest

from organizations.models import InviteCode, Organization

URL = "/api/orgs/all"


def cursor(text):
    return f"cursor={urlsafe_b64encode(text.encode()).decode()}"


def test_all_users_see_ids_and_names_and_no_code(api, ada, org, sam, sams_org):
    answer = api(ada).get(URL)
    assert answer.status_code == 200
    assert answer.json() == [
        {"id": str(org.pk), "name": "Analytical Engines"},
        {"id": str(sams_org.pk), "name": "Sam's"},
    ]
    assert api(sam).get(URL).json() == answer.json()
    for code in InviteCode.objects.all():
        assert code.code not in answer.content.decode()


def test_pages_follow_each_other(api, ada, org):
    Organization.objects.bulk_create(Organization(name=f"Number {n}") for n in range(6))
    client, seen, url, pages = api(ada), [], f"{URL}?limit=3", 0
    while url:
        answer = client.get(url)
        seen += [row["id"] for row in answer.json()]
        pages += 1
        link = answer.headers.get("Link", "")
        assert not link or link.endswith('; rel="next"')
        url = link[1:].partition(">")[0]
    assert pages == 3
    assert seen == [
        str(pk) for pk in Organization.objects.order_by("pk").values_list("pk", flat=True)
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=%00", "limit"),
        ("limit=" + "1" * 5000, "limit"),
        ("limit=00000000100000000000", "limit"),
        ("cursor=x", "cursor"),
        (cursor('["x"]'), "cursor"),
        (cursor('["\\u0000"]'), "cursor"),
        (cursor('["\\ud800"]'), "cursor"),
        (cursor("[Infinity]"), "cursor"),
        (cursor("[NaN]"), "cursor"),
        (cursor("[1e300]"), "cursor"),
        (cursor("[null]"), "cursor"),
        (cursor("[-1]"), "cursor"),
        (cursor("[[]]"), "cursor"),
        (cursor("[]"), "cursor"),
        (cursor("{}"), "cursor"),
        (cursor('[{"at": "2026-99-01"}]'), "cursor"),
        ("cursor=%00", "cursor"),
        ("name=x", "name"),
    ],
)
def test_a_faulty_query_is_named(api, ada, query, field):
    answer = api(ada).get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {field}


def test_it_costs_two_queries(api, ada, org, django_assert_num_queries):
    Organization.objects.bulk_create(Organization(name=f"Number {n}") for n in range(50))
    client = api(ada)
    with django_assert_num_queries(2):  # the user, the list
        assert len(client.get(URL).json()) == 51


def test_a_call_without_a_token_is_401(anyone, db):
    assert anyone.get(URL).status_code == 401
