"""What the tests of operators' pages share."""

import pytest

from accounts.models import User
from organizations.tests.people import PASSWORD


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client
