from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        from clusters import hooks
        from deployments import env, receivers  # receivers: connects them
        from deployments.queries import names, placements, secrets, volume_users
        from deployments.services import clear
        from mlops_platform import sealing
        from organizations import hooks as organization_hooks

        post_migrate.connect(receivers.on_migrated, sender=self)
        hooks.count_in_use = clear.count_in_use
        hooks.delete_some_rows.append(clear.delete_some_rows)
        hooks.leave_cluster = clear.leave_cluster
        hooks.terminating_nodes = placements.terminating_nodes
        hooks.volume_users = volume_users.volume_users
        organization_hooks.users_of = secrets.users_of
        organization_hooks.name_deployments = names.names_of
        sealing.SEALED.append(
            sealing.SealedColumn(self.get_model("Webhook"), "secret", "Secrets of webhooks")
        )
        column = sealing.SealedColumn(
            self.get_model("Deployment"), "env", "Environments", env.resealed, empty=([], {})
        )
        sealing.SEALED.append(column)
