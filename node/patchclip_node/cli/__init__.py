"""The command `patchclip-node`, written for the administrator of a PACS."""

from patchclip_core.memory import starting

with starting():
    from patchclip_node.cli.app import app, main

__all__ = ["app", "main"]
