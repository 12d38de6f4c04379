"""The login of members: a password, then a code where a second factor is set."""

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import LoginView, redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from mlops_platform.admin import second_factor
from mlops_platform.admin.login import MemberLoginForm
from mlops_platform.console.answering import whole

log_in = LoginView.as_view(
    template_name="console/login.html",
    authentication_form=MemberLoginForm,
    next_page="console:home",
    redirect_authenticated_user=True,
    extra_context={"provider": lambda: settings.OIDC},
)


@require_http_methods(["POST"])
def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("console:login")


@csrf_protect
@require_http_methods(["GET", "POST"])
def ask_for_code(request: HttpRequest) -> HttpResponse:
    """A code of the authenticator app, or a recovery code. An operator who needs a device and has
    none enrols one in the admin."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("console:login"))
    if not second_factor.is_missing_of_member(request):
        return HttpResponseRedirect(_next(request))
    if second_factor.device_of(request.user) is None:
        return redirect("admin:enrol")
    form = second_factor.LoginCodeForm(request.POST or None, request=request)
    if not form.is_valid():
        return whole(request, "console/code.html", {"form": form, "next": _next(request)})
    second_factor.admit(request, form.cleaned_data["device"])
    return HttpResponseRedirect(_next(request))


def _next(request: HttpRequest) -> str:
    """The page that the member wanted, if it is one of ours."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    return wanted if wanted and ours else reverse("console:home")
