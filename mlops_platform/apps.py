from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PlatformConfig(AppConfig):
    name = "mlops_platform"

    def ready(self) -> None:
        from mlops_platform import checks  # noqa: F401  # registers them


class OperatorsConfig(AdminConfig):
    default_site = "mlops_platform.admin.operator_site.OperatorSite"
