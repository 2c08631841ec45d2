"""Let through only callers that one or all of the named methods recognise."""
