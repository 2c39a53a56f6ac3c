"""Floor 2: probability that can be computed with, and the models in closed form that every learned one has to beat.

Read in this order: ``distributions`` (disk, ball, annulus, banana, funnel, ring, mixtures, energies), ``joint`` (a
density of several variables, its marginals and conditionals), ``information`` (entropy to mutual information, each
answer with its method), ``jacobians`` and ``change_of_variables`` (what a map does to one), ``density_ratio`` (p/q
from samples), ``weights`` (what importance weights are worth). Then the models: ``baselines`` (a Gaussian; entries
independent of each other), ``mixture`` (several Gaussians; ``em`` is its algorithm), ``ppca`` (a linear Gaussian
latent-variable model); and ``targets``: oracles known in full, which every learned model has to agree with.
"""
