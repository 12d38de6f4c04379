from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        from clusters import hooks, secrets
        from deployments import env, placements, receivers  # receivers: connects them
        from deployments.services.clear import clear_cluster

        post_migrate.connect(receivers.on_migrated, sender=self)
        hooks.delete_workloads = clear_cluster
        hooks.terminating_nodes = placements.terminating_nodes
        column = secrets.SealedColumn(
            self.get_model("Deployment"), "env", "Environments", env.resealed, empty=([], {})
        )
        secrets.SEALED.append(column)
