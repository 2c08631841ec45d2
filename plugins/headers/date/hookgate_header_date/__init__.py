"""The time of the attempt as an HTTP date."""
