from __future__ import annotations

from importlib.resources import files

from alembic.config import Config
from alembic.script import ScriptDirectory

from patchclip_node.adapters.ledger.revisions import MIGRATIONS, revisions


def test_the_migrations_lie_inside_the_package_in_one_line() -> None:
    """An installed wheel has nothing but the package."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    scripts = ScriptDirectory.from_config(config)

    inside = files("patchclip_node.adapters.ledger") / "migrations"
    assert str(inside) == str(scripts.dir)
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
    assert revisions() == tuple(one.revision for one in reversed(list(scripts.walk_revisions())))
