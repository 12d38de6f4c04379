"""Below /api/."""

from django.urls import path

from organizations.api.viewsets import (
    AllOrganizationsViewSet,
    InviteCodeViewSet,
    MemberViewSet,
    OrganizationViewSet,
    OwnOrganizationsViewSet,
)

members = MemberViewSet.as_view({"get": "list"})
member = MemberViewSet.as_view({"patch": "partial_update", "delete": "destroy"})

urlpatterns = [
    path("orgs/create", OrganizationViewSet.as_view({"post": "create"})),
    path("orgs/join", OrganizationViewSet.as_view({"post": "join"})),
    path("orgs/all", AllOrganizationsViewSet.as_view({"get": "list"})),
    path("orgs/my", OwnOrganizationsViewSet.as_view({"get": "list"})),
    path("orgs/<uuid:organization_id>/members", members),
    path("orgs/<uuid:organization_id>/members/<uuid:user_id>", member),
    path("orgs/<uuid:organization_id>/invite-codes", InviteCodeViewSet.as_view({"post": "create"})),
]
