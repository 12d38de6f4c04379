"""The operators' pages of users."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.exceptions import APIException

from accounts.keys.services import revoke_key
from accounts.models import TAKEN, ApiKey, Identity, User, UserProfile
from mlops_platform.admin.lookups import FilteredAdmin, LookUpAdmin
from mlops_platform.admin.second_factor import forget_devices
from mlops_platform.api.names import check_name


class NamedForm(forms.ModelForm):
    """Names as the API takes them: in any letter case one, and none that looks like another."""

    def clean_username(self) -> str:
        name: str = User.normalize_username(self.cleaned_data["username"])
        if name != self.instance.username:
            try:
                check_name(name)
            except APIException as refusal:
                raise forms.ValidationError([str(each) for each in refusal.detail]) from None
        if User.objects.named(name).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(TAKEN)
        return name


class NewUserForm(NamedForm, AdminUserCreationForm):
    class Meta(AdminUserCreationForm.Meta):
        model = User


class ChangeUserForm(NamedForm, UserChangeForm):
    class Meta(UserChangeForm.Meta):
        model = User


class ProfileInline(admin.StackedInline):
    model = UserProfile
    can_delete = False


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(FilteredAdmin, DjangoGroupAdmin):
    """Rights that several operators share."""


@admin.register(User)
class UserAdmin(FilteredAdmin, DjangoUserAdmin):
    form = ChangeUserForm
    add_form = NewUserForm
    list_display = [
        "username",
        "display_name",
        "email",
        "is_active",
        "is_staff",
        "date_joined",
        "last_login",
    ]
    list_filter = ["is_active", "is_staff", "is_superuser", "date_joined"]
    list_select_related = ["profile"]
    search_fields = ["username", "email", "profile__display_name"]
    ordering = ["username"]
    actions = ["reset_second_factor"]

    @admin.action(description="Remove the second factor", permissions=["change"])
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """For operators who have lost their device and their recovery codes."""
        for user in queryset:
            forget_devices(user)
        self.message_user(request, "They enrol a new device at the next login.", messages.SUCCESS)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        """None on the page that adds a user: the profile is created with the user
        (receivers.py)."""
        return [ProfileInline] if obj else []

    @admin.display(ordering="profile__display_name")
    def display_name(self, user: User) -> str:
        profile: UserProfile | None = getattr(user, "profile", None)
        return profile.display_name if profile else ""


@admin.register(Identity)
class IdentityAdmin(LookUpAdmin):
    """Users as the OpenID provider knows them. Deleting a row disconnects the account."""

    list_display = ["user", "subject", "issuer", "created_at", "last_login_at"]
    list_filter = ["created_at", "last_login_at"]
    list_select_related = ["user"]
    search_fields = ["user__username", "subject"]
    readonly_fields = ["user", "subject", "issuer", "created_at", "last_login_at"]
    ordering = ["-pk"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(LookUpAdmin):
    """Keys without their secrets, which operators see and revoke; users make them, over the API."""

    list_display = [
        "name",
        "user",
        "start",
        "scope",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    list_filter = ["scope", "created_at", "expires_at", "last_used_at", "revoked_at"]
    list_select_related = ["user"]
    search_fields = ["name", "start", "user__username"]
    ordering = ["-pk"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["id", *self.list_display, "created_by"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a revoked key can still be answered why it is refused

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: Any, queryset: QuerySet[ApiKey]) -> None:
        live = list(queryset.filter(revoked_at=None).select_related("user"))
        for key in live:
            own = ApiKey.objects.filter(user=key.user_id, revoked_at=None)
            revoke_key(request.user, own, key.name)
        self.message_user(request, f"Revoked {len(live)} keys.", messages.SUCCESS)
