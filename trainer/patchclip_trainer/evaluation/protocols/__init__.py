"""Published protocols: a data set's own layout, split, questions and measures; a new one is a file and a row."""
