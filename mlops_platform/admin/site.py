"""The operators' site as a whole; each app's admin says what stands on it."""

from django.contrib import admin
from django_otp.plugins.otp_static import admin as _registers_codes  # noqa: F401  # first
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp import admin as _registers_devices  # noqa: F401  # first
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework_simplejwt.token_blacklist import admin as _registers_tokens  # noqa: F401  # first
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from mlops_platform.admin.login import ThrottledLoginForm

admin.site.login_form = ThrottledLoginForm
admin.site.site_header = "MLOps platform operators"
admin.site.site_title = "MLOps platform"
admin.site.index_title = "What there is to operate"
admin.site.site_url = "/swagger/"
admin.site.enable_nav_sidebar = False  # the lists are wide: the links stand in the header instead

# Their pages show refresh tokens, with which an operator could act as any user, and the keys of
# second factors.
admin.site.unregister([BlacklistedToken, OutstandingToken, StaticDevice, TOTPDevice])
