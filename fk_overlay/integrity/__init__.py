"""The guards against cheating and against fooling ourselves: oracles, tolerances and what they must reject."""
