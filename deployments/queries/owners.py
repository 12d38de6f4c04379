"""Owners of deployments by their names."""

from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from accounts.models import User
from clusters.queries import clusters_visible_to
from deployments.models import Deployment
from organizations.access import organizations_of
from organizations.models import Membership


def owner_named(user: User, name: str) -> UUID | None:
    """The id of a member of one of the user's organizations, or of an owner of deployments there
    that has left; None where none has that name, in any letter case. One query."""
    member = Membership.objects.filter(user=OuterRef("pk"), organization__in=organizations_of(user))
    clusters = clusters_visible_to(user).order_by()
    owned = Deployment.objects.filter(owner=OuterRef("pk"), cluster__in=clusters)
    found = User.objects.named(name).filter(Q(Exists(member)) | Q(Exists(owned)))
    return found.values_list("pk", flat=True).first()
