"""Sample studies made of open images, for the demo and for a first try. ATTRIBUTION.md says where they come from."""
