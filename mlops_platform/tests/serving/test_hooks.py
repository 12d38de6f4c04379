"""The questions that lower apps ask upper ones: which functions answer, and what holds without."""

from uuid import uuid4

import pytest

import accounts.hooks
import clusters.hooks
import deployments.hooks
from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment
from deployments.queries import placements
from deployments.services import clear
from mlops_platform.api.errors import Conflict, Invalid
from organizations import services as organizations
from scheduler import ledger
from scheduler.answers import lazy_reasons, quotes
from scheduler.samples import taking


def test_upper_apps_have_set_every_hook() -> None:
    assert accounts.hooks.check_invitation is organizations.check_code
    assert accounts.hooks.accept_invitation is organizations.join
    assert clusters.hooks.count_in_use is clear.count_in_use
    assert clusters.hooks.leave_cluster is clear.leave_cluster
    assert set(clusters.hooks.delete_some_rows) == {
        clear.delete_some_rows,
        ledger.delete_some_rows,
        taking.delete_some_rows,
    }
    assert clusters.hooks.terminating_nodes is placements.terminating_nodes
    assert deployments.hooks.derive_wait_reasons is lazy_reasons.reasons_of
    assert deployments.hooks.redeem_quote is quotes.redeem
    assert deployments.hooks.quote_submit is quotes.quote_in_turn


def test_without_upper_apps_there_are_no_workloads_no_reasons_no_quotes_and_no_invitations() -> (
    None
):
    assert not clusters.hooks._none_in_use(Cluster())
    clusters.hooks._leave_nothing(Cluster())
    assert not clusters.hooks._no_nodes(uuid4())
    assert not deployments.hooks._no_reasons([Deployment()])
    with pytest.raises(Invalid):
        accounts.hooks._accept_none(User(), "code")
    with pytest.raises(Conflict):
        deployments.hooks._refuse_quote(Deployment(), "digest", "token")
