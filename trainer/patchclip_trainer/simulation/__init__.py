"""Findings drawn onto normal radiographs, with boxes and sentences. Depends on data alone."""
