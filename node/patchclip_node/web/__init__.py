"""The pages: escaped throughout, since peers choose the names that are shown; scripts are files of the node alone."""

from patchclip_node.web.app import Shown, create_app

__all__ = ["Shown", "create_app"]
