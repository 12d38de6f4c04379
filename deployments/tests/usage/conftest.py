"""The testbed, whose runtimes are fakes, and what its endpoints show of a deployment."""

from collections.abc import Callable

import pytest

from deployments.models import Deployment
from deployments.reconciler import status_writer
from deployments.reconciler.assessment import Assessment
from deployments.tests.reconciler.conftest import testbed as testbed
from deployments.tests.reconciler.testbed import Testbed
from mlops_platform.database.clock import database_now

Show = Callable[[Deployment, Assessment], None]


@pytest.fixture
def show(testbed: Testbed) -> Show:
    """`show(row, Assessment(Outcome.COMPLETE))`: as a pass that has found so."""

    def show(row: Deployment, assessment: Assessment) -> None:
        status_writer.write(testbed.cluster.pk, [(testbed.fresh(row), assessment)], database_now())

    return show
