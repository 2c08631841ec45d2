"""Read the document from a file and notice when it changes."""
