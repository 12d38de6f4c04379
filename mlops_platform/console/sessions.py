"""The user of a session, for what goes on for long."""

from django.utils import timezone
from rest_framework.exceptions import NotAuthenticated

from accounts.api.requests import Bearer
from accounts.models import User
from mlops_platform.console.access import MemberRequest


def reader_of(request: MemberRequest) -> Bearer:
    """Counts as long as the session, and while the user is active and keeps the password."""
    key, hashed = request.user.pk, request.user.password
    left_s = (request.session.get_expiry_date() - timezone.now()).total_seconds()

    def authenticate() -> User:
        found = User.objects.filter(pk=key, is_active=True, password=hashed).first()
        if found is None:
            raise NotAuthenticated
        return found

    return Bearer(key, authenticate, left_s)
