"""The pages below `/sign-on/`, to which links that are mailed and passed on lead."""

from django.urls import path

from mlops_platform.sign_on import devices, joining, recovering, single

app_name = "sign-on"
urlpatterns = [
    path("oidc", single.begin, name="single"),
    path("oidc/callback", single.back, name="back"),
    path("oidc/connect", single.connect, name="connect"),
    path("device", devices.show, name="device"),
    path("join/<str:invitation_token>", joining.show, name="join"),
    path("reset-password/<str:reset_token>", recovering.reset_password, name="reset-password"),
    path("verify-email/<str:verify_token>", recovering.verify_email, name="verify-email"),
]
