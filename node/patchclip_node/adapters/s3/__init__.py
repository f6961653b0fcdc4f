"""The spool in an S3 store: objects that are written once and checked, and what this host keeps of them to read."""

from patchclip_node.adapters.s3.spool import S3Spool
from patchclip_node.adapters.s3.store import ConditionRefusedError, S3Place, S3Store

__all__ = ["ConditionRefusedError", "S3Place", "S3Spool", "S3Store"]
