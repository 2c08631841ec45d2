"""Warnings about flows that are written correctly and hardly meant so: an order in which steps miss each other."""

from hookgate_linting.family import Place, Rule, SeenStep

__all__ = ["Place", "Rule", "SeenStep"]
