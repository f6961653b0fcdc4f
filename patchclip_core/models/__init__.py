"""The networks: towers, downscaler, heads, and Patch-CLIP that joins them."""
