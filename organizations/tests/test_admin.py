"""The operators' pages of organizations, members and codes."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from organizations.models import InviteCode, Membership, Role
from organizations.services import create_organization
from organizations.tests.people import PASSWORD, make_member


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.mark.parametrize(
    ("page", "queries"),
    [
        # the session, the operator, the count (twice where no filter is set), the list
        ("organizations_organization", 5),
        ("organizations_membership", 5),
        ("organizations_invitecode", 5),
    ],
)
def test_a_list_costs_the_same_for_few_and_many(
    operator, org, ada, django_assert_num_queries, page, queries
):
    for size in (1, 20):
        for number in range(size):
            other = create_organization(ada, f"Number {size}-{number}")
            make_member(other, f"user-{size}-{number}", Role.VIEWER)
        with django_assert_num_queries(queries):
            answer = operator.get(reverse(f"admin:{page}_changelist"))
        assert answer.status_code == 200


def test_an_organization_shows_its_counts_and_codes(
    operator, org, dev, vera, django_assert_num_queries
):
    page = reverse("admin:organizations_organization_change", args=[org.pk])
    operator.get(page)  # Django remembers the content type from now on
    with django_assert_num_queries(4):  # the session, the operator, the organization, the codes
        answer = operator.get(page)
    assert org.invite_codes.first().code in answer.content.decode()

    listed = operator.get(reverse("admin:organizations_organization_changelist"))
    members = f"{reverse('admin:organizations_membership_changelist')}?organization__id__exact="
    assert f'<a href="{members}{org.pk}">3</a>' in listed.content.decode()
    answer = operator.get(f"{members}{org.pk}")
    assert answer.status_code == 200
    assert answer.context["cl"].result_count == 3


def test_the_confirmation_of_a_deletion_has_no_query_per_row(operator, org, ada):
    page = reverse("admin:organizations_organization_delete", args=[org.pk])
    operator.get(page)
    counts = []
    for size in (1, 20):
        for number in range(size):
            make_member(org, f"user-{size}-{number}", Role.VIEWER)
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(page).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_organizations_are_founded_through_the_api_only(operator):
    assert operator.get(reverse("admin:organizations_organization_add")).status_code == 403
    assert operator.get(reverse("admin:organizations_invitecode_add")).status_code == 403


def test_an_operator_replaces_codes(operator, org, sam, sams_org):
    chosen = [*org.invite_codes.filter(role="VIEWER"), *sams_org.invite_codes.filter(role="ADMIN")]
    answer = operator.post(
        reverse("admin:organizations_invitecode_changelist"),
        {"action": "rotate", "_selected_action": [code.pk for code in chosen]},
    )
    assert answer.status_code == 302
    for code in chosen:
        code.refresh_from_db()
        assert code.rotated_at is not None
    assert InviteCode.objects.filter(rotated_at=None).count() == 6
    assert InviteCode.objects.count() == 8


def test_an_operator_appoints_an_admin(operator, org, dev):
    membership = Membership.objects.get(user=dev)
    page = reverse("admin:organizations_membership_change", args=[membership.pk])
    assert operator.get(page).status_code == 200
    assert operator.post(page, {"role": "ADMIN"}).status_code == 302
    membership.refresh_from_db()
    assert membership.role == "ADMIN"


@pytest.mark.parametrize(
    ("field", "value"), [("user", "nobody"), ("user", "0"), ("organization", "1234")]
)
def test_a_text_that_is_no_id_is_an_error_at_its_field(operator, org, vera, sam, field, value):
    """No membership is added."""
    before = Membership.objects.count()
    sent = {"user": str(sam.pk), "organization": str(org.pk), "role": "ADMIN", field: value}
    answer = operator.post(reverse("admin:organizations_membership_add"), sent)
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == [field]
    assert Membership.objects.count() == before


def test_a_code_is_not_written_by_hand(operator, org):
    code = org.invite_codes.first()
    page = reverse("admin:organizations_invitecode_change", args=[code.pk])
    assert operator.get(page).status_code == 200
    operator.post(page, {"code": "mine", "uses": "0", "max_uses": "1"})
    assert InviteCode.objects.get(pk=code.pk).code == code.code
    assert InviteCode.objects.get(pk=code.pk).max_uses is None


@pytest.mark.parametrize("state", ["live", "replaced"])
def test_codes_are_filtered_by_state(operator, org, state):
    page = reverse("admin:organizations_invitecode_changelist")
    answer = operator.get(page, {"state": state})
    assert answer.context["cl"].result_count == (3 if state == "live" else 0)


def test_a_search_finds(operator, org, dev):
    for page, text in [
        ("organizations_organization", "analyt"),
        ("organizations_organization", str(org.pk)),
        ("organizations_membership", "dev"),
        ("organizations_invitecode", "engines"),
    ]:
        answer = operator.get(reverse(f"admin:{page}_changelist"), {"q": text})
        assert answer.context["cl"].result_count > 0, page
