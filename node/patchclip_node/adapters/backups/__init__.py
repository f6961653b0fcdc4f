"""Backups of a node: a folder that holds ledger, spool, audit trail and configuration of one moment."""
