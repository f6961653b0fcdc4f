"""What stands behind the ports: the SQL ledger, the file spool, the clock, UIDs, the queue, the process table."""
