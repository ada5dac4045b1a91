"""Which patches of a pack hold together: finds the largest subset that does, and what each patch in it is worth.

``search`` decides which subset is tried next and knows no engine; ``trials`` asks the engine; ``rounds`` measures what
is left. ``run`` puts them together.
"""
