from django.apps import AppConfig


class ClustersConfig(AppConfig):
    name = "clusters"

    def ready(self) -> None:
        from clusters import receivers  # noqa: F401  # connects the receivers
        from clusters.services import deletion
        from mlops_platform.sealing import SEALED, SealedColumn
        from organizations import hooks

        SEALED.append(SealedColumn(self.get_model("Endpoint"), "secrets", "Endpoints"))
        SEALED.append(SealedColumn(self.get_model("Registry"), "secret", "Registries"))
        hooks.delete_clusters = deletion.delete_clusters_of
