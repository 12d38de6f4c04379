from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    name = "organizations"

    def ready(self) -> None:
        from accounts import hooks
        from mlops_platform.sealing import SEALED, SealedColumn
        from organizations import receivers, services  # noqa: F401  # connects the receivers

        SEALED.append(SealedColumn(self.get_model("Secret"), "sealed", "Secrets"))
        hooks.check_invitation = services.check_code
        hooks.accept_invitation = services.join
