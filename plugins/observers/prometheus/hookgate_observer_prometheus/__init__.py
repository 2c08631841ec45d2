"""Count and time calls, for Prometheus to scrape."""
