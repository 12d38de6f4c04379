from django.apps import AppConfig
from django.db.models.signals import post_migrate


class OrganizationsConfig(AppConfig):
    name = "organizations"

    def ready(self) -> None:
        from accounts import hooks
        from mlops_platform.sealing import SEALED, SealedColumn
        from organizations import receivers, services
        from organizations.events import accounts

        SEALED.append(SealedColumn(self.get_model("Secret"), "sealed", "Secrets"))
        hooks.check_invitation = services.check_code
        hooks.accept_invitation = services.join
        hooks.note_account = accounts.note_account
        hooks.note_operators = accounts.note_operators
        hooks.note_key = accounts.note_key
        post_migrate.connect(receivers.on_migrated, sender=self)
