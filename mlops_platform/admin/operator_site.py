"""The operators' site: Django's, with a second factor behind the password."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import urlencode


class OperatorSite(AdminSite):
    """Lets in operators who have given their second factor, and sends the others to it.

    An operator logs in by password on Django's own page, which is throttled (admin/login.py).
    Without the second factor every other page then leads to those of admin/second_factor.py.
    """

    pages: ClassVar[list[Any]] = []
    """Pages beside those of the models: URL patterns that apps add before URLs are read."""
    index_template = "operators/home.html"
    login_template = "operators/login.html"
    home: Callable[[], dict[str, Any]] | None = None
    """Makes what the first page shows above the lists; set by the app that knows it."""

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        shown = self.home() if self.home else None
        return super().index(request, {**(extra_context or {}), "home": shown})

    def has_permission(self, request: HttpRequest) -> bool:
        from mlops_platform.admin import second_factor  # needs models, which come later

        return self.is_operator(request) and not second_factor.is_missing(request)

    def is_operator(self, request: HttpRequest) -> bool:
        """Whether the password was given, and is that of an operator."""
        return super().has_permission(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Asks an operator who has given the password for the second factor alone."""
        half_way = self.is_operator(request) and not self.has_permission(request)
        if request.method == "GET" and half_way:
            query = urlencode({"next": request.GET.get("next", "")})
            return HttpResponseRedirect(f"{reverse('admin:second_factor')}?{query}")
        return super().login(request, {**(extra_context or {}), "provider": settings.OIDC})

    def get_urls(self) -> list[Any]:
        from mlops_platform.admin import second_factor

        return [
            path("second-factor/", second_factor.ask, name="second_factor"),
            path("second-factor/enrol/", second_factor.enrol, name="enrol"),
            path("second-factor/codes/", second_factor.new_codes, name="recovery_codes"),
            *self.pages,
            *super().get_urls(),
        ]
