from django.apps import AppConfig


class SchedulerConfig(AppConfig):
    name = "scheduler"

    def ready(self) -> None:
        from deployments import hooks
        from scheduler import lazy_reasons, quotes, receivers  # noqa: F401  # connects the receivers

        hooks.derive_wait_reasons = lazy_reasons.reasons_of
        hooks.redeem_quote = quotes.redeem
