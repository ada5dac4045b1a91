"""Talking to an engine's OpenAI-compatible server: a load client in a process of its own. Not an engine itself."""
