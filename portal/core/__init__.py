"""The kernel: tenants, permissions, transitions, leases, audit, storage. Imports nothing of the stages."""
