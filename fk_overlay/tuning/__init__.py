"""Searches kernel configurations that an engine reads from files, on the engine's own kernels."""
