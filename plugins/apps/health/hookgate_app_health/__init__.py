"""Show on /-/health whether the gateway and its targets are well."""
