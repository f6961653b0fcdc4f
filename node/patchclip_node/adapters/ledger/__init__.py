"""The truth about every study, in SQL."""

from patchclip_node.adapters.ledger.migrate import migrate, prepare
from patchclip_node.adapters.ledger.sql_ledger import SqlLedger

__all__ = ["SqlLedger", "migrate", "prepare"]
