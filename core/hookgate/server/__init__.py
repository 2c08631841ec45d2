"""Listeners, the Quart app and the process around the gateway."""
