"""Wires the programs: one module for each process of the node. Importing this imports none of them."""
