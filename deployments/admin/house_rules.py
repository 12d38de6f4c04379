"""The operators' page of house rules, which the ADMINs of organizations write."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from deployments.house_rules import HouseRules
from mlops_platform.admin.lookups import LookUpAdmin


@admin.register(HouseRules)
class HouseRulesAdmin(LookUpAdmin):
    """Operators look at them."""

    list_display = ["organization", "stop", "confirm_evictions", "max_gpu"]
    list_filter = ["stop", "confirm_evictions"]
    list_select_related = ["organization"]
    search_fields = ["organization__name"]
    ordering = ["-pk"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
