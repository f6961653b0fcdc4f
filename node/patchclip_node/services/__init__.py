"""What the node does, in terms of ports: no network, no SQL, no settings file."""
