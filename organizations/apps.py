from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    name = "organizations"

    def ready(self) -> None:
        from accounts import hooks
        from organizations import receivers, services  # noqa: F401  # connects the receivers

        hooks.check_invitation = services.check_code
        hooks.accept_invitation = services.join
