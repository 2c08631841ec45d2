"""HTTP Basic authentication, of callers and towards backends."""
