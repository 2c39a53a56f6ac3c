"""Floor 6: measurements. ``held_out`` is the figure that training watches and reports, of the model's own kind."""
