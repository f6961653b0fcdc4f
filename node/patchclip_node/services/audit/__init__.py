"""The audit trail on its way: into the ledger, and out of it."""
