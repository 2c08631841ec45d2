"""The steps of this distribution's tables, in their order."""
