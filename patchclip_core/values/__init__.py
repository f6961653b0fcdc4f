"""Frozen values that pass between the rooms: what goes into a model, what comes out, what findings are, and words."""
