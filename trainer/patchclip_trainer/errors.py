"""The errors of the trainer. Each one's text names what is wrong, where, and what to do."""

from __future__ import annotations


class TrainerError(Exception):
    """Base of every error that the trainer raises on purpose."""


class DataError(TrainerError):
    """A data set is missing, damaged or not laid out as it should be."""


class RecipeError(TrainerError):
    """A recipe or a value that overrides it cannot be used."""
