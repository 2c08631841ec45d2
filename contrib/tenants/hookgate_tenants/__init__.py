"""Several tenants on one gateway (KC-80)."""

from hookgate_tenants.naming import tenant_of
from hookgate_tenants.section import Tenant, Tenants

__all__ = ["Tenant", "Tenants", "tenant_of"]
