"""Warnings about flows that are written correctly and hardly meant so: an order in which steps miss each other."""
