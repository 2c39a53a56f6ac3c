"""Floor 2: distributions in closed form, which every learned model has to beat, and oracles it has to agree with.

Read in this order: ``baselines`` (a Gaussian; entries independent of each other), ``mixture`` (several Gaussians, by
expectation-maximisation), ``ppca`` (the optimum of a linear Gaussian latent-variable model), ``targets`` (distributions
known in full). ``em`` is the algorithm of the mixture; ``classes`` makes a condition the row of a table.
"""
