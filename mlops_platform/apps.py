from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PlatformConfig(AppConfig):
    name = "mlops_platform"

    def ready(self) -> None:
        from mlops_platform import checks  # noqa: F401  # registers them


class OperatorsConfig(AdminConfig):
    default_site = "mlops_platform.admin.operator_site.OperatorSite"

    def ready(self) -> None:
        # First: it gives the site its names and its login. Imported while Django makes the site, as
        # the package around `default_site`, it would give them to another instance.
        import mlops_platform.admin  # noqa: F401

        super().ready()
