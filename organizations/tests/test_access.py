"""Roles of members."""

from uuid import UUID

import pytest
from rest_framework.exceptions import NotFound, PermissionDenied

from organizations import access
from organizations.models import Organization, Role


@pytest.mark.parametrize(
    ("role", "reached"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.DEVELOPER, {Role.VIEWER, Role.DEVELOPER}),
        (Role.ADMIN, {Role.VIEWER, Role.DEVELOPER, Role.ADMIN}),
    ],
)
def test_each_role_includes_those_below_it(role, reached):
    assert {needed for needed in Role if access.reaches(role, needed)} == reached


def test_a_member_has_their_role(ada, dev, vera, org):
    assert access.role_in(ada, org.id) is Role.ADMIN
    assert access.role_in(dev, org.id) is Role.DEVELOPER
    assert access.role_in(vera, str(org.id)) is Role.VIEWER


ABSENT = UUID("0199d1c4-5e21-7b6f-9d0a-41c2f7a8b305")


@pytest.mark.parametrize("organization_id", [ABSENT, str(ABSENT), "1", "", "x" * 64, "-1"])
def test_no_user_has_a_role_in_an_unknown_organization(ada, organization_id):
    assert access.role_in(ada, organization_id) is None
    with pytest.raises(NotFound):
        access.require(ada, organization_id, Role.VIEWER)


def test_a_stranger_gets_404(org, sam):
    with pytest.raises(NotFound):
        access.require(sam, org.id, Role.VIEWER)


def test_the_error_names_the_role_that_is_needed(org, vera):
    with pytest.raises(PermissionDenied) as refusal:
        access.require(vera, org.id, Role.DEVELOPER)
    assert str(refusal.value.detail) == "This needs the role DEVELOPER; yours is VIEWER."
    assert refusal.value.get_codes() == "permission_denied"


def test_staff_have_no_rights_of_members(org, sam):
    sam.is_staff = sam.is_superuser = True
    sam.save()
    with pytest.raises(NotFound):
        access.require(sam, org.id, Role.VIEWER)


def test_a_check_of_the_role_costs_one_query(org, dev, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert access.require(dev, org.id, Role.DEVELOPER).user_id == dev.pk
    with django_assert_num_queries(1):
        access.role_in(dev, org.id)


def test_organizations_of_filters_within_one_query(
    org, dev, sam, sams_org, django_assert_num_queries
):
    with django_assert_num_queries(1):
        mine = list(Organization.objects.filter(pk__in=access.organizations_of(dev)))
    assert mine == [org]
    assert list(Organization.objects.filter(pk__in=access.organizations_of(sam))) == [sams_org]
