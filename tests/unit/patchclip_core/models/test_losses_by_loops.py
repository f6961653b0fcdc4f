from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchclip_core.models.losses import summed_patch_loss
from tests.support.oracles import patch_loss_by_loops


@settings(max_examples=10, deadline=None)
@given(images=st.integers(1, 3), findings=st.integers(1, 3), patches=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_the_patch_loss_and_its_gradient_are_those_of_the_formulas(
    images: int, findings: int, patches: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    similarities = (torch.randn(images, findings, patches, 2, generator=generator) * 3).requires_grad_()
    targets = torch.rand(images, findings, patches, generator=generator)
    known = torch.rand(images, findings, patches, generator=generator) > 0.3

    expected = patch_loss_by_loops(similarities, targets, known)
    found = summed_patch_loss(similarities[..., 0] - similarities[..., 1], targets, known)

    assert found.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    if known.any():
        one, other = (torch.autograd.grad(loss, similarities)[0] for loss in (found, expected))
        assert torch.allclose(one, other, atol=1e-5)
