"""The command `patchclip-trainer`, written for a researcher who retrains the model."""

from patchclip_trainer.cli.app import app, main

__all__ = ["app", "main"]
