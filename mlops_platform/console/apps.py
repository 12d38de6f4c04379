from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "mlops_platform.console"
    label = "console"
