"""Objects of any maker as pictures over their image: what a viewer would show, for a look without one.

Readers turn datasets into `Marks`, `paint` turns these into a picture. All of it runs in a child process with limits
(`python -m patchclip_node.rendering`), since every byte may come from a stranger.
"""
