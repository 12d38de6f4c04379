"""Sends events to the addresses that organizations give: from the feed to deliveries, from these to
the receivers."""
