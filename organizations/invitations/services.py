"""Makes, mails and revokes invitations; users join by them as by a standing code (services.join).

An invitation that is mailed has no token until a worker draws it: the mail alone ever contains it,
and neither Redis nor an answer does. A worker that has begun to send is followed by another one
after AGAIN, which draws another token: of two mails, the later one's link counts.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q, QuerySet
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from accounts.models import User
from accounts.recovery import mails
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from organizations.access import require
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import Event, Target, record_all
from organizations.invitations import tokens
from organizations.invitations.queries import open_ones
from organizations.models import Invitation, Membership, Organization, Role

logger = logging.getLogger(__name__)

DAY_S = 24 * 3600
DEFAULT_EXPIRY_S = 7 * DAY_S
TASK = "organizations.tasks.send_invitation"
AGAIN = timedelta(seconds=60)
GIVEN_UP = timedelta(hours=1)
"""A mail that the server has not taken for so long is not tried any more."""


class NewInvitation(NamedTuple):
    """An invitation with its token, which nothing can show again; None where it is mailed."""

    invitation: Invitation
    token: str | None


@transaction.atomic
def invite(
    actor: User,
    organization_id: UUID,
    role: Role,
    *,
    expires_in_s: int = DEFAULT_EXPIRY_S,
    max_uses: int = 1,
    email: str = "",
) -> NewInvitation:
    """An invitation to join in that role; ADMIN only. With an e-mail address it is for one user,
    and mailed where the platform sends mail. 400 naming `max_uses`; 409 where as many as allowed
    are open."""
    if email and max_uses != 1:
        raise Invalid({"max_uses": "An invitation to an e-mail address is for one user."})
    _lock(actor, organization_id)
    require(actor, organization_id, Role.ADMIN)
    most = settings.MAX_INVITATIONS
    if open_ones(organization_id).count() >= most:
        raise Conflict(f"An organization may have {most} open invitations.", "too_many_invitations")
    by_mail = bool(email and settings.EMAIL_HOST)
    token = None if by_mail else tokens.new_token()
    now = database_now()
    invitation = Invitation.objects.create(
        organization_id=organization_id,
        role=role,
        email=email,
        digest=tokens.digest(token) if token else None,
        created_at=now,
        created_by=actor,
        expires_at=now + timedelta(seconds=expires_in_s),
        max_uses=max_uses,
        by_mail=by_mail,
    )
    if by_mail:
        transaction.on_commit(lambda: request_mail(invitation.pk))
    _record(Type.INVITATION_CREATED, [invitation], actor)
    _note("invitation made", invitation, actor)
    return NewInvitation(invitation, token)


@transaction.atomic
def revoke(actor: User, organization_id: UUID, invitation_id: UUID) -> None:
    """End an invitation at once; ADMIN only. 404 where there is none, or it is revoked already."""
    _lock(actor, organization_id)
    require(actor, organization_id, Role.ADMIN)
    live = Invitation.objects.filter(organization_id=organization_id, revoked_at=None)
    invitation = live.filter(pk=invitation_id).first()
    if invitation is None:
        raise not_found()
    live.filter(pk=invitation_id).update(revoked_at=database_now())
    _record(Type.INVITATION_REVOKED, [invitation], actor)
    _note("invitation revoked", invitation, actor)


@transaction.atomic
def revoke_all(invitations: QuerySet[Invitation]) -> int:
    """How many of them this call has ended: by an operator, who is no member."""
    live = invitations.filter(revoked_at=None)
    for organization_id in live.order_by().values_list("organization_id", flat=True).distinct():
        lock_row(Organization.objects.all(), organization_id)
    return _revoke(live)


def revoke_known_to(membership: Membership) -> None:
    """End the invitations that a member has made or joined by: the member could come back with one
    by another account. The caller has locked the organization. One query, three where there are
    some."""
    _revoke(
        Invitation.objects.filter(
            Q(created_by=membership.user_id) | Q(pk=membership.invitation_id),
            organization_id=membership.organization_id,
            revoked_at=None,
        )
    )


def _revoke(live: QuerySet[Invitation]) -> int:
    """How many were revoked; the caller has locked their organizations."""
    found = list(live)
    if found:
        ids = [each.pk for each in found]
        Invitation.objects.filter(pk__in=ids).update(revoked_at=database_now())
        _record(Type.INVITATION_REVOKED, found)
    return len(found)


def link_to(token: str, host: str = "") -> str:
    """The link that an invited user opens; `host` is the request's, for want of PUBLIC_URL."""
    return f"{settings.PUBLIC_URL or host}/sign-on/join/{token}"


def request_mail(invitation_id: UUID) -> None:
    """Ask a worker for the mail. Never raises for want of Redis: the timer's job asks again."""
    try:
        current_app.send_task(TASK, (str(invitation_id),), expires=AGAIN.total_seconds())
    except (RedisError, OperationalError, OSError) as error:
        extra = {"invitation_id": str(invitation_id), "error": str(error)}
        logger.warning("mail not requested: redis is away; a timer asks again", extra=extra)


def request_unsent() -> None:
    """Ask for each mail that was not sent yet. One query."""
    unsent = _to_send().filter(created_at__gt=database_now() - GIVEN_UP)
    for invitation_id in unsent.values_list("pk", flat=True)[:1000]:
        request_mail(invitation_id)


def send(invitation_id: UUID) -> None:
    """Draw the invitation's token and mail it, unless it was sent, revoked or another worker is at
    it, or as many mails as may are under way here. Raises what the mail server's refusal
    raises; the job asks again."""
    if not mails.SLOTS.acquire({}):
        return
    try:
        _send(invitation_id)
    finally:
        mails.SLOTS.release({})


def _send(invitation_id: UUID) -> None:
    now = database_now()
    token = tokens.new_token()
    free = Q(tried_at=None) | Q(tried_at__lt=now - AGAIN)
    claimed = _to_send().filter(free, pk=invitation_id, expires_at__gt=now)
    if not claimed.update(tried_at=now, digest=tokens.digest(token)):
        return
    invitation = Invitation.objects.select_related("organization", "created_by").get(
        pk=invitation_id
    )
    host = invitation.created_by.username if invitation.created_by else "An ADMIN"
    name = invitation.organization.name
    send_mail(
        f"{host} invites you to {name}",
        f"{host} invites you to join {name} as {invitation.role}.\n\n{link_to(token)}\n\n"
        f"The link is for one user, until {invitation.expires_at:%Y-%m-%d %H:%M} UTC. Keep it to "
        "yourself: each reader can use it. If you expected no invitation, ignore this mail.\n",
        None,
        [invitation.email],
    )
    Invitation.objects.filter(pk=invitation_id, digest=tokens.digest(token)).update(
        sent_at=database_now()
    )


def _to_send() -> QuerySet[Invitation]:
    return Invitation.objects.filter(by_mail=True, sent_at=None, revoked_at=None)


def _lock(actor: User, organization_id: UUID) -> None:
    """Nothing is locked for a user who is no member."""
    members = Organization.objects.filter(memberships__user=actor, deleted_at=None)
    lock_row(members, organization_id, of=("self",))


def _record(type_: Type, those: Sequence[Invitation], actor: User | None = None) -> None:
    """An event of each; never its token. One query."""
    events = []
    for each in those:
        facts = {
            "role": each.role,
            "email": each.email or None,
            "expires_at": each.expires_at,
            "max_uses": each.max_uses,
        }
        sides = (None, facts) if type_ == Type.INVITATION_CREATED else (facts, None)
        target = Target(TargetType.INVITATION, each.pk, each.email or each.role)
        events.append(Event(each.organization_id, type_, target, *sides))
    record_all(events, actor=actor)


def _note(event: str, invitation: Invitation, actor: User) -> None:
    """One line of the log; never the token."""
    extra = {
        "invitation_id": str(invitation.pk),
        "organization_id": str(invitation.organization_id),
        "role": invitation.role,
        "actor_id": str(actor.pk),
    }
    logger.info(event, extra=extra)
