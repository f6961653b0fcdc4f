"""Frozen values that pass between the rooms: what goes into a model, what comes out, and what findings are."""
