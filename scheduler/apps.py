from django.apps import AppConfig


class SchedulerConfig(AppConfig):
    name = "scheduler"

    def ready(self) -> None:
        from clusters import hooks as clusters
        from deployments import hooks
        from scheduler import freshness, impossible, ledger
        from scheduler import receivers as receivers  # connects them
        from scheduler.answers import changes, drains, lazy_reasons, likely, quotes, sweeps
        from scheduler.samples import taking
        from scheduler.start_times import kept
        from scheduler.store import spared

        clusters.delete_some_rows += [ledger.delete_some_rows, taking.delete_some_rows]
        clusters.preview_drain = drains.preview
        clusters.preview_window = drains.preview_window
        hooks.derive_wait_reasons = lazy_reasons.reasons_of
        hooks.foresee_sweep = sweeps.foresee
        hooks.find_etas = kept.etas_of
        hooks.find_spared = spared.causes_of
        hooks.quote_submit = quotes.quote_in_turn
        hooks.redeem_quote = quotes.redeem
        hooks.scheduler_late_rows = freshness.late_rows
        hooks.scheduler_silent_since = freshness.silent_since
        hooks.why_never = impossible.why_never
        hooks.would_evict = changes.would_evict
        hooks.likely_nodes = likely.nodes_of
