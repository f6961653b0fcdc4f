"""The storage SCP that a test starts."""

from tests.support.storage_scp import incoming, receiver, start

__all__ = ["incoming", "receiver", "start"]
