"""What a study is, which states it passes, and what may go wrong. Pure: no I/O, no third-party imports."""
