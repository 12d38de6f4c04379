"""Every page of the console, for the tests that look at all of them: a new page is a line here."""

from typing import NamedTuple

from deployments.models import Deployment, Status
from mlops_platform.tests.equipment.world import World

MOST_QUERIES = 12


class Page(NamedTuple):
    path: str
    """With placeholders: those of the world, and `{waiting_id}`."""
    queries: int
    """Of a developer's visit, those of the session and the user included."""

    title: str
    of_stranger: int = 404
    """The status of the answer to a stranger."""

    most: int = MOST_QUERIES
    """How many queries it may make: more where it plans."""


PAGES = {
    "home": Page("/console/", 11, "Home", of_stranger=200),
    "deployments": Page("/console/deployments/", 9, "Deployments", of_stranger=200),
    "submit": Page("/console/submit/", 4, "Submit", of_stranger=200),
    "organizations": Page("/console/organizations/", 4, "Organizations", of_stranger=200),
    "organization": Page("/console/organizations/{organization_id}/", 7, "Engines"),
    "audit": Page("/console/organizations/{organization_id}/audit/", 5, "Changes in Engines"),
    "usage": Page("/console/organizations/{organization_id}/usage/", 6, "Usage of Engines"),
    "decisions": Page("/console/clusters/{cluster_id}/decisions/", 5, "Decisions in west"),
    "decision": Page("/console/decisions/{cycle_id}/", 6, "A decision in west"),
    "curve": Page("/console/clusters/{cluster_id}/curve/", 5, "west, the last 24 hours"),
    "cluster": Page("/console/clusters/{cluster_id}/", 12, "west"),
    "running": Page("/console/deployments/{deployment_id}/", 8, "train"),
    "waiting": Page("/console/deployments/{waiting_id}/", 10, "train"),
    "why": Page("/console/deployments/{waiting_id}/why/", 27, "Why train waits", most=27),
}


def waiting(world: World) -> Deployment:
    return Deployment.objects.get(cluster_id=world.ids["cluster_id"], status=Status.QUEUED)


def addresses(world: World) -> dict[str, str]:
    """By the names of PAGES."""
    ids = {**world.ids, "waiting_id": str(waiting(world).pk)}
    return {name: page.path.format(**ids) for name, page in PAGES.items()}
