"""The operators' pages of users."""

from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import APIException

from accounts import hooks
from accounts.hooks import REPLACED
from accounts.keys.services import revoke_key
from accounts.models import TAKEN, ApiKey, Identity, User, UserProfile
from accounts.services import end_logins
from mlops_platform.admin.lookups import FilteredAdmin, LookUpAdmin
from mlops_platform.admin.second_factor import forget_devices
from mlops_platform.admin.sections import WithSections
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

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        rights = sorted(str(each) for each in form.instance.permissions.all())
        hooks.note_operators(None, {"group": form.instance.name, "permissions": rights})

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        hooks.note_operators({"group": obj.name}, None)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        for group in queryset:
            self.delete_model(request, group)


@admin.register(User)
class UserAdmin(WithSections, FilteredAdmin, DjangoUserAdmin):
    change_form_template = "operators/change_form.html"
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
            with transaction.atomic():
                forget_devices(user)
                hooks.note_account(user, before=None, after={"second_factor": "removed"})
        self.message_user(request, "They enrol a new device at the next login.", messages.SUCCESS)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Notes what has changed; an address, a password and a person's name are not shown."""
        super().save_related(request, form, formsets, change)
        user, columns = form.instance, sorted({*form.changed_data} - {"password1", "password2"})
        if not change:
            hooks.note_account(user, before=None, after={"username": user.username})
        elif columns or any(each.has_changed() for each in formsets):
            after = {name: _shown(user, name) for name in columns}
            before = {name: _shown_text(form.initial.get(name)) for name in columns}
            shown = {name: before[name] for name in columns if after[name] != REPLACED}
            if any(each.has_changed() for each in formsets):
                after["profile"] = REPLACED
            hooks.note_account(user, before=shown, after=after)

    @transaction.atomic
    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002  # Django's name
        form_url: str = "",
    ) -> HttpResponse:
        answer = super().user_change_password(request, id, form_url)
        if request.method == "POST" and answer.status_code == HTTPStatus.FOUND:
            user = User.objects.get(pk=id)
            end_logins(user)
            hooks.note_account(user, before=None, after={"password": REPLACED})
        return answer

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        """None on the page that adds a user: the profile is created with the user
        (receivers.py)."""
        return [ProfileInline] if obj else []

    @admin.display(ordering="profile__display_name")
    def display_name(self, user: User) -> str:
        profile: UserProfile | None = getattr(user, "profile", None)
        return profile.display_name if profile else ""


SHOWN = frozenset(
    {"username", "is_active", "is_staff", "is_superuser", "groups", "user_permissions"}
)
"""What events show of an account; of all else, that it is another one."""


def _shown(user: User, column: str) -> Any:
    if column not in SHOWN:
        return REPLACED
    value = getattr(user, column)
    return _shown_text(value.all() if hasattr(value, "all") else value)


def _shown_text(value: Any) -> Any:
    is_several = isinstance(value, QuerySet | list)
    return sorted(str(each) for each in value) if is_several else value


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

    def delete_model(self, request: HttpRequest, obj: Identity) -> None:
        hooks.note_account(obj.user, before=None, after={"identity": "disconnected"})
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Identity]) -> None:
        for identity in queryset.select_related("user"):
            self.delete_model(request, identity)


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
