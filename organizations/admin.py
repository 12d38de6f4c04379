"""The operators' pages of organizations, members and codes, each in a paged list of its own.

An organization may have more members than one form can show. No page needs a query per row.
"""

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib import admin, messages
from django.db import models, transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mlops_platform.admin.lookups import FilteredAdmin, LookUpAdmin
from mlops_platform.api.errors import Conflict
from organizations import event_pages  # noqa: F401  # Django looks for pages in this module alone
from organizations.codes import delete_code, replace_code
from organizations.deletion import delete_organization
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import Target, record
from organizations.invitations.services import revoke_all
from organizations.models import (
    Ban,
    GroupRole,
    Invitation,
    InviteCode,
    Membership,
    Organization,
    Role,
    Secret,
)
from organizations.secrets.owners import owner_of
from organizations.secrets.services import delete_secret
from organizations.services import (
    add_member,
    ban_member,
    forgive,
    rename,
    set_role,
)


class InviteCodeInline(admin.TabularInline):
    """The live codes of one organization; replacing one is an action of their own list."""

    model = InviteCode
    fields = ["role", "code", "usable", "expires_at", "max_uses", "uses"]
    readonly_fields = ["role", "code", "usable", "expires_at", "max_uses", "uses"]
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[InviteCode]:
        found = super().get_queryset(request).select_related("organization")
        return found.filter(rotated_at=None)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(boolean=True)
    def usable(self, code: InviteCode) -> bool:
        return code.usable


@admin.register(Organization)
class OrganizationAdmin(FilteredAdmin):
    """Organizations are founded through the API, where the founder becomes their ADMIN."""

    list_display = ["name", "members", "admins", "created_at", "id"]
    list_filter = ["created_at"]
    search_fields = ["name", "id"]
    readonly_fields = ["id", "members", "admins", "created_at"]
    ordering = ["name", "id"]
    inlines = [InviteCodeInline]

    @property
    def deleted_too(self) -> Collection[type[models.Model]]:  # type: ignore[override]  # read only
        """Its clusters, which this app does not know by name."""
        return [Organization._meta.get_field("clusters").related_model]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        admins = Count("memberships", filter=Q(memberships__role=Role.ADMIN))
        return (
            super()
            .get_queryset(request)
            .filter(deleted_at=None)
            .annotate(member_count=Count("memberships"), admin_count=admins)
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, object_id, *args, **kwargs)
        except Conflict as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
            page = reverse("admin:organizations_organization_change", args=[object_id])
            return HttpResponseRedirect(page)

    def save_model(self, request: Any, obj: Organization, form: Any, change: bool) -> None:
        with transaction.atomic():
            rename(obj, obj.name, request.user)

    def delete_model(self, request: HttpRequest, obj: Organization) -> None:
        delete_organization(obj.pk)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without the deletion of many at once: each deletes a history."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(ordering="member_count")
    def members(self, organization: Any) -> SafeString:
        """How many, leading to their list."""
        page = reverse("admin:organizations_membership_changelist")
        link = f"{page}?organization__id__exact={organization.pk}"
        return format_html('<a href="{}">{}</a>', link, organization.member_count)

    @admin.display(ordering="admin_count")
    def admins(self, organization: Any) -> int:
        return int(organization.admin_count)


@admin.register(Membership)
class MembershipAdmin(LookUpAdmin):
    """Operators may do what members may not: appoint an ADMIN where the last one is lost."""

    list_display = ["user", "organization", "role", "joined_at"]
    list_filter = ["role", "joined_at"]
    list_select_related = ["user", "organization"]
    search_fields = ["user__username", "user__email", "organization__name"]
    autocomplete_fields = ["user", "organization"]
    ordering = ["-pk"]
    linked = ["organization__id__exact"]

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        return ["user", "organization", "joined_at"] if obj else ["joined_at"]

    def save_model(self, request: Any, obj: Membership, form: Any, change: bool) -> None:
        if change:
            set_role(request.user, obj.organization_id, obj.user_id, Role(obj.role))
        else:
            added = add_member(request.user, obj.organization_id, obj.user, Role(obj.role))
            obj.pk, obj._state.adding = added.pk, False

    def delete_model(self, request: Any, obj: Membership) -> None:
        ban_member(request.user, obj.organization_id, obj.user_id)

    def delete_queryset(self, request: Any, queryset: QuerySet[Membership]) -> None:
        for membership in queryset.order_by("organization_id", "pk"):
            self.delete_model(request, membership)


@admin.register(GroupRole)
class GroupRoleAdmin(LookUpAdmin):
    """Which group at the OpenID provider is which role where, from the next login on."""

    list_display = ["group", "organization", "role"]
    list_filter = ["role"]
    list_select_related = ["organization"]
    search_fields = ["group", "organization__name"]
    autocomplete_fields = ["organization"]
    ordering = ["group", "pk"]

    def save_model(self, request: HttpRequest, obj: GroupRole, form: Any, change: bool) -> None:
        before = form.initial if change else None
        super().save_model(request, obj, form, change)
        _note_group(obj, before, {"group": obj.group, "role": obj.role})

    def delete_model(self, request: HttpRequest, obj: GroupRole) -> None:
        _note_group(obj, {"group": obj.group, "role": obj.role}, None)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[GroupRole]) -> None:
        for each in queryset.select_related("organization"):
            self.delete_model(request, each)


def _note_group(
    row: GroupRole, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """A group's role is a setting of the organization."""
    sides = [
        None if each is None else {"group_role": {"group": each["group"], "role": each["role"]}}
        for each in (before, after)
    ]
    target = Target(TargetType.ORGANIZATION, row.organization_id, row.organization.name)
    type_ = OrganizationEventType.ORGANIZATION_CHANGED
    record(row.organization_id, type_, target, before=sides[0], after=sides[1])


@admin.register(Ban)
class BanAdmin(LookUpAdmin):
    """Removed members. Deleting a row lets the user join again."""

    list_display = ["user", "organization", "role", "banned_at", "banned_by"]
    list_filter = ["role", "banned_at"]
    list_select_related = ["user", "organization", "banned_by"]
    search_fields = ["user__username", "organization__name"]
    readonly_fields = ["user", "organization", "role", "banned_at", "banned_by"]
    ordering = ["-pk"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def delete_model(self, request: Any, obj: Ban) -> None:
        forgive(request.user, obj)

    def delete_queryset(self, request: Any, queryset: QuerySet[Ban]) -> None:
        for ban in queryset.order_by("organization_id", "pk"):
            self.delete_model(request, ban)


class LiveFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Live"), ("replaced", "Replaced")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[InviteCode]
    ) -> QuerySet[InviteCode]:
        if self.value() is None:
            return queryset
        return queryset.filter(rotated_at__isnull=self.value() == "live")


@admin.register(InviteCode)
class InviteCodeAdmin(FilteredAdmin):
    """Codes are looked at and replaced, never written by hand."""

    list_display = [
        "organization",
        "role",
        "usable",
        "uses",
        "max_uses",
        "expires_at",
        "rotated_at",
    ]
    list_filter = [LiveFilter, "role", "created_at"]
    list_select_related = ["organization"]
    search_fields = ["organization__name"]
    ordering = ["-pk"]
    actions = ["rotate"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [field.name for field in InviteCode._meta.fields] + ["usable"]

    @admin.display(boolean=True)
    def usable(self, code: InviteCode) -> bool:
        return code.usable

    def delete_model(self, request: HttpRequest, obj: InviteCode) -> None:
        delete_code(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[InviteCode]) -> None:
        for code in queryset:
            delete_code(code)

    @admin.action(description="Replace the selected codes", permissions=["change"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[InviteCode]) -> None:
        """One new code for each organization and role among those selected, without limits."""
        wanted = set(queryset.values_list("organization_id", "role"))
        for organization_id, role in sorted(wanted):
            replace_code(organization_id, Role(role))
        self.message_user(request, f"Replaced {len(wanted)} codes.", messages.SUCCESS)


@admin.register(Invitation)
class InvitationAdmin(FilteredAdmin):
    """Invitations are looked at and revoked. Their tokens are not known here."""

    list_display = ["organization", "role", "email", "uses", "max_uses", "expires_at", "revoked_at"]
    list_filter = ["role", "expires_at", "revoked_at"]
    list_select_related = ["organization"]
    search_fields = ["organization__name", "email"]
    exclude = ["digest"]
    ordering = ["-pk"]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [field.name for field in Invitation._meta.fields if field.name != "digest"]

    @admin.action(description="Revoke the selected invitations", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        self.message_user(request, f"Revoked {revoke_all(queryset)}.", messages.SUCCESS)


@admin.register(Secret)
class SecretAdmin(LookUpAdmin):
    """Secrets without their values, which only containers see. One that deployments use which have
    not ended is not deleted, as through the API."""

    list_display = ["name", "organization", "person", "version", "updated_at", "last_used_at"]
    list_filter = ["updated_at", "last_used_at"]
    list_select_related = ["organization", "person"]
    search_fields = ["name", "organization__name", "person__username"]
    readonly_fields = [
        "name",
        "organization",
        "person",
        "version",
        "created_at",
        "updated_at",
        "updated_by",
        "last_used_at",
    ]
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Secret]:
        return super().get_queryset(request).defer("sealed")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # owners write them, through the API

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, object_id, *args, **kwargs)
        except Conflict:
            self.message_user(request, "Deployments use it: stop them first.", messages.ERROR)
            page = reverse("admin:organizations_secret_change", args=[object_id])
            return HttpResponseRedirect(page)

    def delete_model(self, request: Any, obj: Secret) -> None:
        delete_secret(request.user, owner_of(obj), obj.name)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without the deletion of many at once, which would not call the service."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions
