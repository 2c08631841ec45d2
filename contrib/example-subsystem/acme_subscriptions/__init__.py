"""Subscriptions: who may call, how often a day, and how much of that is left."""
