"""Images, boxes and texts of many sources, made into one prepared set that training and evaluation read."""
