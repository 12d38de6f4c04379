"""The calls for an organization's webhooks."""
