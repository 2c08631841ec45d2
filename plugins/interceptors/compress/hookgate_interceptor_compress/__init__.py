"""Compress responses for clients that accept it."""
