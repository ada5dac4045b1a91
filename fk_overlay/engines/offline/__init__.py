"""An engine's Python interface, driven by requests that are all there at once: no HTTP, no arrivals.

``session`` is the outside, which holds the clock; ``driver`` is what runs in the engine's process.
"""
