"""Revisions of the tables of the key manager."""
