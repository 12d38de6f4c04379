"""Upgrades: migrations on live tables, processes of two versions, backups."""
