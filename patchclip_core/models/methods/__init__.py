"""The methods: what Patch-CLIP and LRCLR each make of an image tower and a text tower."""
