"""What does not stay for ever: each kind with its setting and the function that deletes it.

A share is of one organization: what one tenant leaves behind never makes another's go.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from accounts import forget as accounts
from deployments.services import forget as deployments
from deployments.usage import rollups
from deployments.webhooks import retention as webhooks
from mlops_platform.database.clock import database_now
from organizations import forget as organizations
from organizations.events import retention as audit
from scheduler import ledger
from scheduler.samples import taking as samples
from scheduler.start_times import records


@dataclass(frozen=True)
class Kind:
    """`setting` names the variable that says how long or how much is kept, in `unit`; None: until
    it has expired."""

    name: str
    what: str
    forget: Callable[[], Iterator[int]]
    setting: str | None = None
    unit: str = "days"

    @property
    def kept(self) -> str:
        """How long, for people."""
        if self.setting is None:
            return "until they expire"
        return f"{getattr(settings, self.setting)} {self.unit} ({self.setting})"


def _older(forget: Callable[[datetime], Iterator[int]], name: str, what: str, setting: str) -> Kind:
    def old() -> Iterator[int]:
        return forget(database_now() - timedelta(days=getattr(settings, setting)))

    return Kind(name, what, old, setting)


def _beyond(forget: Callable[[int], Iterator[int]], name: str, what: str, setting: str) -> Kind:
    return Kind(
        name, what, lambda: forget(getattr(settings, setting)), setting, "MiB of each organization"
    )


KINDS = (
    Kind("sessions", "Operators' sessions", accounts.sessions),
    Kind("logins", "Logins", accounts.logins),
    Kind("invitations", "Invitations", organizations.invitations),
    _older(
        deployments.keys, "keys", "Idempotency keys of submits", "IDEMPOTENCY_KEYS_RETENTION_DAYS"
    ),
    _older(ledger.forget, "cycles", "Cycles of the ledger", "LEDGER_RETENTION_DAYS"),
    _beyond(
        ledger.forget_beyond, "cycles-share", "Cycles of the ledger", "LEDGER_MIB_PER_ORGANIZATION"
    ),
    _older(records.forget, "forecasts", "Forecasts of starts", "FORECASTS_RETENTION_DAYS"),
    _older(samples.forget, "samples", "Samples of clusters", "SAMPLES_RETENTION_DAYS"),
    _older(deployments.output, "output", "Kept output of replicas", "OUTPUT_RETENTION_DAYS"),
    _beyond(
        deployments.output_beyond,
        "output-share",
        "Kept output of replicas",
        "OUTPUT_MIB_PER_ORGANIZATION",
    ),
    _older(deployments.events, "events", "Entries of timelines", "EVENTS_RETENTION_DAYS"),
    _older(audit.forget, "audit", "Events of organizations", "AUDIT_RETENTION_DAYS"),
    _older(webhooks.forget, "deliveries", "Deliveries of webhooks", "DELIVERIES_RETENTION_DAYS"),
    _older(deployments.ended, "deployments", "Ended deployments", "DEPLOYMENTS_RETENTION_DAYS"),
    _older(rollups.forget, "usage", "Records of usage", "USAGE_RETENTION_DAYS"),
    _older(deployments.sweeps, "sweeps", "Sweeps without members", "DEPLOYMENTS_RETENTION_DAYS"),
)
