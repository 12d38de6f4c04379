from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PlatformConfig(AppConfig):
    name = "mlops_platform"


class OperatorsConfig(AdminConfig):
    default_site = "mlops_platform.operator_site.OperatorSite"
