"""Archives that are asked over the web (PS3.18)."""
