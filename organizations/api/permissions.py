"""Which role a call needs: each viewset has a table of its actions."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.requests import UserRequest
from mlops_platform.api import tenant
from mlops_platform.api.viewsets import ApiViewSet, NamedViewSet
from organizations.access import ORDER, require, role_too_low
from organizations.models import Role
from organizations.names import organization_named, user_named


class RolePermission(IsAuthenticated):
    """Lets users call an action in whose organization they have the role of the viewset's table.

    The object that a viewset has checked is the id of the organization: 404 for a stranger, 403 for
    a member whose role is too low (access.require).
    """

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        """One query; none for VIEWER where the viewset finds only rows of the user's own."""
        assert isinstance(view, RoleViewSet)
        needed = view.roles[view.action]
        if needed is not None and not (needed == Role.VIEWER and view.finds_own_rows):
            require(view.request.user, obj, needed)
        elif needed is not None:
            tenant.found.get()(obj)
        return True

    def needs(self, view: Any) -> str:
        """The sentence that Swagger shows."""
        needed = view.roles[view.action]
        if needed is None:
            return "Any user may call it."
        above = " or above" if needed != ORDER[-1] else ""
        return f"Needs the role {needed}{above}."

    def refusal(self, view: Any) -> str:
        """The detail of a 403, for Swagger; empty where no member's role is too low."""
        needed = view.roles[view.action]
        if needed is None or needed == ORDER[0]:
            return ""
        return str(role_too_low(needed, ORDER[ORDER.index(needed) - 1]).detail)


class RoleViewSet(ApiViewSet):
    """A resource of an organization.

    Calls whose organization stands in the body, and those that check a role under a lock, have
    their role checked by the service.
    """

    roles: Mapping[str, Role | None] = {}
    """The role that each action needs; None: any user may call it."""
    finds_own_rows = False
    """Whether objects come from a queryset of the user's own organizations."""
    permission_classes = [RolePermission]
    request: UserRequest

    def check_role(self, organization_id: UUID) -> None:
        """404 for a stranger, 403 where the caller's role is below that of the action."""
        self.check_object_permissions(self.request, organization_id)


class NamedRoleViewSet(RoleViewSet, NamedViewSet):
    """A resource below an organization, which the path may name, as it may name users."""

    named_parts = {
        "organization_id": "an organization",
        "user_id": "a user",
        "banned_user_id": "a user",
    }

    def id_of(self, part: str, name: str) -> UUID:
        if part == "organization_id":
            return organization_named(self.request.user, name)
        return user_named(name)
