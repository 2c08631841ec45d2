"""Revisions of the queue's tables."""
