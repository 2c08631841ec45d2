"""Usage of APIs for each subscription, by tier and day; prices of tiers, and a preview of invoices."""
