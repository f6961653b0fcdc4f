"""An archive's studies are listed, and pulled one by one behind all that is sent to the node."""
