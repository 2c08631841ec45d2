"""Webhooks: others are told when a call of a custom route was completed (WF-6)."""
