"""What a person is told: what is looked at, when it is told, and how it goes."""
