"""The node's errors. Their type says what to do with them: try again, tell the sender, or fix the program."""

from __future__ import annotations


class NodeError(Exception):
    """Base of every error that the node raises on purpose. Its text is read by an administrator."""


class CannotDrawError(NodeError):
    """A picture of what was found cannot be drawn. may_pass: whether it could be, later."""

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


class RetryableError(NodeError):
    """Trouble that may pass: a full disk, a database that restarts, a peer that is down."""


class StorageFullError(RetryableError):
    """The spool has no room for what has to be kept."""


class BacklogFullError(RetryableError):
    """Too many studies wait for their analysis: images of further ones stay with their sender."""


class SpoolUnavailableError(RetryableError):
    """The store that holds the spool's files cannot be reached, or refuses what the node has to do there."""


class DamagedFileError(RetryableError):
    """A file of the spool is not as it was stored. Another copy of it may be read the next time."""


class LedgerUnavailableError(RetryableError):
    """The ledger does not answer."""


class LedgerCommitUnknownError(LedgerUnavailableError):
    """The ledger went away while it committed: what it was told may or may not be kept, so nothing may be undone."""


class PeerError(RetryableError):
    """A DICOM peer could not be reached, refused, or answered with a failure."""


class ProviderUnavailableError(RetryableError):
    """The OpenID provider could not be reached, or its answer cannot be used."""


class RejectedError(NodeError):
    """The input is not something this node analyses; the text is the reason that the study keeps."""


class UnreadableInstanceError(RejectedError):
    """What was received is not a DICOM instance that can be understood."""


class DatasetMismatchError(RejectedError):
    """A data set is not the instance that its C-STORE request announced (PS3.4 B.2.3: status A9xx)."""


class InstanceTooLargeError(RejectedError):
    """An instance is larger than the node takes (PS3.4 B.2.3: status A7xx, out of resources)."""


class ForeignResultError(RejectedError):
    """An object of a class that is taken back when this product made it, but another did (0x0122)."""


class RecalledError(NodeError):
    """Results were withdrawn, or the model that would make them; the text says by whom, when and why."""


class DefectError(NodeError):
    """The program contradicts itself. Retrying does not help."""


class ForbiddenTransitionError(DefectError):
    """A study was asked to do what its state does not allow."""


class LostLeaseError(NodeError):
    """Another worker owns the study now; what was computed here is dropped."""


class ConfigurationError(NodeError):
    """A setting is missing, misspelt or contradicts another one; the text names the key."""


class AuditTrailError(NodeError):
    """The files of the audit trail are not as they were written."""


class LoginRefusedError(NodeError):
    """A login that did not come about. wait_s: how long the next one has to wait, in seconds."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(f"{why}; try again in {wait_s:.0f} s" if wait_s else why)
        self.wait_s = wait_s
