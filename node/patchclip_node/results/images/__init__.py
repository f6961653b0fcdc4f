"""Results that are of one image and lie over it, or show it."""
