"""What the services need of the world, as small Protocols. Adapters implement them; tests bring fakes."""
