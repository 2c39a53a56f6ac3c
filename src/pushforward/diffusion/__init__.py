"""Floor 4: diffusion models, which learn to undo the addition of noise.

Read in this order: ``schedules`` (how much noise at which step), ``ddpm`` (the bound and the model), ``samplers`` (from
noise to an example).
"""
