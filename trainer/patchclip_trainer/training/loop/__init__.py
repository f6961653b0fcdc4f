"""What both stages share: the loop over steps, its state, its optimizer and its processes."""
