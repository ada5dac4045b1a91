"""What a target looked like when its task was written, and what it looks like now. Read from files, never imported."""
