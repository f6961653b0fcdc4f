"""A connection to PostgreSQL by psycopg: what its URL may say, and how long an answer is awaited.

A ledger in a file does without, so that only `database` imports this, and late.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import RV, PQGen

from patchclip_node.domain.errors import ConfigurationError

ANSWER_S = 40.0
"""How long an answer is awaited: longer than a transaction waits for the writer before it.

TCP notices a machine that is gone much earlier, but not a server that hangs.
"""
_LOOK_S = 0.1
"""How often a thread that waits looks whether the program is interrupted."""


class ServerConnection(psycopg.Connection[Any]):
    """A connection that is given up where the server does not answer."""

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_S, timeout: float | None = None) -> RV:
        """Wait for an answer, `timeout` seconds at most, or ANSWER_S. Raises `psycopg.OperationalError`."""
        try:
            return super().wait(gen, interval, ANSWER_S if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()  # what comes later must not be taken for the answer to another question
            raise


def check_parameters(names: Iterable[str]) -> None:
    """Raise `ConfigurationError` where a URL has a parameter that libpq does not know."""
    unknown = sorted(set(names) - {option.keyword.decode() for option in pq.Conninfo.get_defaults()})
    if unknown:
        raise ConfigurationError(
            f"ledger_url: {', '.join(unknown)}: a connection to PostgreSQL has no such parameter; it takes those of "
            "libpq, such as ?sslmode=verify-full, and ?host=FOLDER for a socket in a folder"
        )


def environment(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment in which PostgreSQL's own programs connect as these parameters of libpq say."""
    variables = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
    named = {variables.get(name): str(value) for name, value in parameters.items()}
    return dict(os.environ) | {variable.decode(): value for variable, value in named.items() if variable}


__all__ = ["ANSWER_S", "ServerConnection", "check_parameters", "environment"]
