"""Python runs this at the start of each process of a test's node: where NODE_STEPS is set, steps can be ordered."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

if os.environ.get("NODE_STEPS"):
    importlib.import_module("node_steps").install(Path(os.environ["NODE_STEPS"]))
