"""The operators' site, and what the admin pages of every app share."""

from mlops_platform.admin import site as site  # Django's autodiscovery imports this package
