"""Each test here is short in the ordinary suite, and what `make endurance` runs is long.

Those that are `long_only` have their short version elsewhere, as docs/tests.md says.
"""

from __future__ import annotations

import pytest

from tests.endurance.scale import Scale


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Scale:
    options = request.config.option
    chosen = Scale(options.endurance, options.endurance_seed, options.endurance_seconds)
    chosen.say(f"{request.node.name}: {'long' if chosen.long else 'short'}, --endurance-seed {chosen.seed}")
    return chosen


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is too long for the ordinary suite."""
    if not config.option.endurance:
        long_only = [item for item in items if item.get_closest_marker("long_only")]
        config.hook.pytest_deselected(items=long_only)
        items[:] = [item for item in items if item not in long_only]
