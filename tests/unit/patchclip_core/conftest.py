from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny networks: handing their work to more threads takes longer than the work."""
    torch.set_num_threads(1)
