"""What the tests of TLS share: one authority a module, and the node's certificate."""

from __future__ import annotations

import pytest

from tests.support.certificates import Authority, Certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "authority")


@pytest.fixture(scope="module")
def node(authority: Authority) -> Certificate:
    return authority.issue("node")
