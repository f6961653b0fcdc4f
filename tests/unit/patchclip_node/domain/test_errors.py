from __future__ import annotations

import inspect

import pytest

from patchclip_node.domain import errors

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_one_of_the_node_and_says_what_it_means(error: type[Exception]) -> None:
    assert issubclass(error, errors.NodeError)
    assert error.__doc__


def test_what_may_pass_and_what_never_will_are_told_apart() -> None:
    assert issubclass(errors.LedgerCommitUnknownError, errors.LedgerUnavailableError)
    for passing in (errors.StorageFullError, errors.LedgerUnavailableError, errors.PeerError):
        assert issubclass(passing, errors.RetryableError)
    for lasting in (errors.UnreadableInstanceError, errors.DatasetMismatchError, errors.InstanceTooLargeError):
        assert issubclass(lasting, errors.RejectedError)
        assert not issubclass(lasting, errors.RetryableError)
