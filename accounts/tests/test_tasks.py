"""The daily deletion of expired tokens."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import User
from accounts.tasks import forget_expired_tokens


@pytest.mark.django_db
def test_only_expired_tokens_are_deleted(ada: User) -> None:
    old, new = str(RefreshToken.for_user(ada)["jti"]), str(RefreshToken.for_user(ada)["jti"])
    OutstandingToken.objects.filter(jti=old).update(expires_at=timezone.now() - timedelta(days=1))
    forget_expired_tokens()
    assert list(OutstandingToken.objects.values_list("jti", flat=True)) == [new]
