"""The layer after which one token is read answers what a whole one answers for that token."""

from __future__ import annotations

import pytest
import torch

from patchclip_core.models.layers import transformer

SEQUENCES, TOKENS, WIDTH = 5, 6, 8


def padding() -> torch.Tensor:
    """A mask of tokens that must not be looked at; never the first."""
    mask = torch.rand(SEQUENCES, TOKENS, generator=torch.Generator().manual_seed(1)) < 0.4
    mask[:, 0] = False
    assert mask.any()
    return mask


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("mask", [None, padding()], ids=["all tokens", "some tokens"])
def test_the_first_token_alone_is_what_it_is_among_all(layers: int, mask: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    whole = transformer(WIDTH, 2, 16, layers)
    torch.manual_seed(0)
    first = transformer(WIDTH, 2, 16, layers, first_token_alone=True)
    tokens = torch.randn(SEQUENCES, TOKENS, WIDTH)

    expected = whole(tokens, src_key_padding_mask=mask)[:, :1]
    found = first(tokens, src_key_padding_mask=mask)
    for answer in (expected, found):
        answer.square().sum().backward()

    assert torch.allclose(found, expected, atol=1e-5)
    ours, theirs = dict(first.named_parameters()), dict(whole.named_parameters())
    assert list(ours) == list(theirs)
    for name, weight in ours.items():
        assert torch.equal(weight, theirs[name]), name
        gradient, expected_gradient = weight.grad, theirs[name].grad
        assert gradient is not None
        assert expected_gradient is not None
        assert torch.allclose(gradient, expected_gradient, atol=1e-4), name
