"""What `doctor` says of the configuration that is run with: whether it is the file's, and who does not take it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from patchclip_node.cli.check_result import Check, CheckResult, Status
from patchclip_node.settings import NodeSettings

_NAME = "configuration in use"


def in_use(config: Path | None) -> Check:
    """Return the check of what runs against a configuration file."""

    def configuration_in_use(_settings: NodeSettings) -> Iterator[CheckResult]:
        """The processes that run have what the file says, each by the variables that it was started with."""
        from patchclip_node.bootstrap.applying import changes_of
        from patchclip_node.bootstrap.configuration import store_of
        from patchclip_node.settings.effective import needing_a_restart

        store = store_of(config)
        running, number = store.running(), store.current()
        if not running or number is None:
            yield CheckResult(_NAME, Status.OK, "no process of this node runs")
            return
        for one in running:
            if one.refused is not None:
                detail = (
                    f"{one} runs version {one.version} and does not take version {one.refused[0]}: {one.refused[1]}"
                )
                advice = (
                    "restart the whole node, or go back by `config back`; `config diff` shows what a version changes"
                )
                yield CheckResult(_NAME, Status.WARN, detail, advice)
        keys = changes_of(store, running, config)
        if not keys:
            version = store.version(number)
            names = ", ".join(one.process for one in running)
            detail = (
                f"{names} run version {number} of {version.at:%Y-%m-%d %H:%M} UTC, by {version.who} ({version.act})"
            )
            yield CheckResult(_NAME, Status.OK, detail)
            return
        stuck = needing_a_restart(keys)
        advice = f"restart the node: {', '.join(stuck)} cannot change while it runs" if stuck else "`config apply`"
        detail = f"{config or 'the environment'} was changed after the node read it: {', '.join(keys)}"
        yield CheckResult(_NAME, Status.WARN, detail, advice)

    return configuration_in_use
