"""What a recipe's network has to beat: simple models on the features of its fixed trunk, on the same folds."""
