"""Which adapter reads a folder."""

from __future__ import annotations

from pathlib import Path

from patchclip_trainer.data.adapters import ADAPTERS


def test_adapters_have_names_of_their_own_and_recognise_nothing_in_an_empty_folder(tmp_path: Path) -> None:
    names = [adapter.name for adapter in ADAPTERS]

    assert len(set(names)) == len(names)
    assert [adapter.name for adapter in ADAPTERS if adapter.recognises(tmp_path)] == []
