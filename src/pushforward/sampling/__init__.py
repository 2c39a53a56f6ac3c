"""Floor 3: draws from what can only be evaluated, and solutions of what can only be differentiated.

Read in this order: ``direct``, ``inverse``, ``rejection``, ``importance``, ``ancestral``, ``gibbs``. Then the chains:
``target`` (what they see of a density), ``method`` (what they all do), ``metropolis``, ``hamiltonian``, ``nuts``, and
for many chains at once ``chees``, ``microcanonical``, ``mams``, ``tempering``; ``chains`` is one call; ``diagnosis``
says in words what is wrong. ``annealed`` and ``smc`` estimate normalising constants. ``solvers`` and ``sde`` are for
flows and diffusions.
"""
