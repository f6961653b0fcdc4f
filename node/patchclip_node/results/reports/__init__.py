"""Results in words and codes: what was found in a study."""
