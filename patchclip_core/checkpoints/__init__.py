"""Folders of weights with a card: written, read, verified, built from a recipe, converted, exported."""
