"""How well probabilities tell what is there: areas, thresholds, and intervals by drawing patients."""
