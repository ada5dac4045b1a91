"""Records what a target really receives inside a live engine, stores it, and gives it back.

Inside an engine process ``recorder`` watches the calls of the plan's places. Outside, ``run`` drives the engine and
``store`` keeps what came back: ``store.read`` is what the bench uses.
"""
