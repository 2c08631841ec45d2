"""Bulks: a workflow or a call for each row of CSV or JSON, with results by row (CR-29)."""
