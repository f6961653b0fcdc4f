from __future__ import annotations

import pytest

from patchclip_node.adapters.ledger.database import Database
from patchclip_node.domain.masking import masked_url


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("sqlite:///var/ledger.sqlite", "sqlite:///var/ledger.sqlite"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:s3cret@host/0", "redis://:***@host/0"),
        ("postgresql://u:p@ss@db/n", "postgresql://u:***@db/n"),
        ("sentinel://:a@h1;sentinel://:b@h2", "sentinel://:***@h1;sentinel://:***@h2"),
        ("sentinel://:a@h1:26379;sentinel://:b@h2:26379/0", "sentinel://:***@h1:26379;sentinel://:***@h2:26379/0"),
        ("rediss://u:s3cr@t@host/0?ssl_cert_reqs=none", "rediss://u:***@host/0?ssl_cert_reqs=none"),
        ("redis://:p@[::1]:6379/0", "redis://:***@[::1]:6379/0"),
        ("postgresql://db/n?user=u&password=p", "postgresql://db/n?user=u&password=***"),
        (
            "redis+socket:///run/redis.sock?virtual_host=1&password=p",
            "redis+socket:///run/redis.sock?virtual_host=1&password=***",
        ),
    ],
)
def test_passwords_in_urls_are_masked(url: str, masked: str) -> None:
    assert masked_url(url) == masked


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@db/n", "postgresql://u:s3%40cret@db/n", "postgresql://db/n?user=u&password=s3cret"]
)
def test_what_is_said_of_a_ledger_names_no_password(url: str) -> None:
    assert "cret" not in str(Database(url))
