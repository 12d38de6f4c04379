"""`manage.py attach_docker`: attach a Docker engine as an operator, from a script."""

from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import APIException

from clusters.api.node_serializers import NewNodeSerializer
from clusters.endpoints.attachment import TLS_FIELDS
from clusters.models import Cluster
from clusters.services import attach

SIZES = ("cpu", "ram", "gpu")


class Command(BaseCommand):
    help = (
        "Attach a Docker engine to a docker cluster. As an operator you may attach any: this very "
        "host by unix:///var/run/docker.sock, another by ssh://user@host, or tcp://host:port."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("cluster", metavar="CLUSTER_ID", type=UUID)
        parser.add_argument("name", metavar="NODE_NAME")
        parser.add_argument("url", metavar="URL")
        parser.add_argument("--cpu", type=float, help="Cores; from the engine if left out.")
        parser.add_argument("--ram", type=int, help="MiB; from the engine if left out.")
        parser.add_argument("--gpu", type=int, help="GPUs; from the engine if left out.")
        for name, said in zip(TLS_FIELDS, ("the CA", "the certificate", "its key"), strict=True):
            parser.add_argument(f"--{name}", metavar="FILE", type=Path, help=f"PEM of {said}.")

    def handle(self, *args: Any, **options: Any) -> None:
        cluster = Cluster.objects.filter(pk=options["cluster"]).first()
        if cluster is None:
            raise CommandError(f"There is no cluster {options['cluster']}.")
        try:
            node = attach.add_node(cluster, _body(options), trusted=True)
        except APIException as refusal:
            raise CommandError("; ".join(_sentences(refusal.detail))) from None
        self.stdout.write(
            f"{node.name} is attached as {node.pk}; it is ready once it has answered."
        )


def _body(options: dict[str, Any]) -> dict[str, Any]:
    """The body as the API takes it; this command may also attach what the API refuses tenants."""
    endpoint = {"url": options["url"]}
    for name in TLS_FIELDS:
        if options[name] is not None:
            try:
                endpoint[name] = options[name].read_text()
            except (OSError, UnicodeDecodeError):
                raise CommandError(f"--{name}: {options[name]} cannot be read.") from None
    sizes = {name: options[name] for name in SIZES if options[name] is not None}
    body = NewNodeSerializer(data={"name": options["name"], "endpoint": endpoint, **sizes})
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _sentences(detail: Any, name: str = "") -> list[str]:
    """`url: It is no URL.`"""
    if isinstance(detail, dict):
        return [said for key, inner in detail.items() for said in _sentences(inner, str(key))]
    if isinstance(detail, list):
        return [f"{name}: {said}" for said in detail]
    return [str(detail)]
