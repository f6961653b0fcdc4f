"""The main job as a newcomer sees it: a small archive sends chest radiographs to a real node and gets results back."""
