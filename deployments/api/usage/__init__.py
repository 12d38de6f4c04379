"""The calls for an organization's usage and prices."""
