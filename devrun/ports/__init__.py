"""Arithmetic, the ledger of leases, and the names of variables."""
