"""A network's answers for radiographs: findings, maps at several scales, saliency, the places of words."""
