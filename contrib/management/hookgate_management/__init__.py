"""Change the document of a running gateway over HTTP."""
