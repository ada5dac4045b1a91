"""Which target owns which share of the time, before and after a patch: where a kernel could gain anything at all.

``recorder`` runs inside the engine's processes, around the places that patches replace; ``attribution``
gives every operator and kernel to the innermost task around it; ``run`` makes the launches; ``tools`` puts NVIDIA's
profilers around them. Beside the capture room, and for the same reason on the floor of engines and overlay: half of it
lives inside the engine, and the overlay places it.
"""
