"""Status pages: read-only, no third-party script, escaped throughout since peers choose the names that are shown."""

from patchclip_node.web.app import create_app

__all__ = ["create_app"]
