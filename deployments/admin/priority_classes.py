"""The admin pages of priority classes, which only operators change."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from deployments.models import PriorityClass
from deployments.services import priority_classes
from mlops_platform.admin.pages import OperatorAdmin
from mlops_platform.api.errors import Conflict

in_capitals = RegexValidator(
    r"^[A-Z][A-Z0-9_]*\Z", "Capital letters, digits and underscores; a letter first."
)


class PriorityClassForm(forms.ModelForm):
    class Meta:
        model = PriorityClass
        fields = ["name", "value", "may_preempt", "preemptible"]
        help_texts = {
            "name": "In capitals. It is settled once a deployment has the class.",
            "value": "The higher value goes first.",
        }

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"]).upper()
        in_capitals(name)
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            name = cleaned.get("name", self.instance.name)  # the forms of LOW and HIGH have no name
            faults = priority_classes.faults(self.instance, name, cleaned["value"])
            if faults:
                raise ValidationError(faults)
        return cleaned


@admin.register(PriorityClass)
class PriorityClassAdmin(OperatorAdmin):
    form = PriorityClassForm
    list_display = ["name", "value", "may_preempt", "preemptible"]
    ordering = ["-value"]

    def get_actions(self, request: HttpRequest) -> Any:
        """No actions: a class is deleted on its own page."""
        return {}

    def get_readonly_fields(self, request: HttpRequest, obj: PriorityClass | None = None) -> Any:
        return ["name"] if obj and priority_classes.is_standard(obj) else []

    def has_delete_permission(self, request: HttpRequest, obj: PriorityClass | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and not (obj and priority_classes.is_standard(obj))

    def save_model(self, request: HttpRequest, obj: PriorityClass, form: Any, change: bool) -> None:
        priority_classes.save(obj)

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, object_id, *args, **kwargs)
        except Conflict as refusal:
            self.message_user(request, str(refusal.detail), messages.ERROR)
            page = reverse("admin:deployments_priorityclass_change", args=[object_id])
            return HttpResponseRedirect(page)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A class has no dependent rows; Django would read all deployments to find that out."""
        used = [each for each in objs if priority_classes.is_used(each)]
        protected = [f"Deployments have the priority {each}." for each in used]
        return [str(each) for each in objs], {}, set(), protected

    def delete_model(self, request: HttpRequest, obj: PriorityClass) -> None:
        priority_classes.delete(obj)
