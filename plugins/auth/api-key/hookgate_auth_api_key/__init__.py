"""Recognise callers by an API key, and show one to backends."""
