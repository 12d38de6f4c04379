from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        from deployments import receivers  # connects the receivers

        post_migrate.connect(receivers.provide_standard_classes, sender=self)
