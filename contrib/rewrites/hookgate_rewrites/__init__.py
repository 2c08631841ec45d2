"""Rewrite rules in the manner of mod_rewrite, in front of the routes."""

from hookgate_rewrites.section import Rewrites

__all__ = ["Rewrites"]
