"""Retrains the model on your own images and boxes: prepare, train, evaluate, export."""
