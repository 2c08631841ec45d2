"""Revisions of the tables of applications and subscriptions."""
