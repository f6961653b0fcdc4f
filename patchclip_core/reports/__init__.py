"""What written reports say of findings: their parts, sentences and denials, by rules in plain sight."""
