"""Cells of workflows that send mail."""
