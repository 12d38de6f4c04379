from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    name = "organizations"

    def ready(self) -> None:
        from accounts import hooks
        from organizations import receivers, services

        assert receivers  # which are connected by the import
        hooks.check_invitation = services.check_code
        hooks.accept_invitation = services.join
