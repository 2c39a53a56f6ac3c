"""Floor 2: distributions in closed form, which every learned model has to beat, and oracles it has to agree with.

Read in this order: ``baselines`` (a Gaussian; entries independent of each other), ``mixture`` (several Gaussians, by
expectation-maximisation), ``ppca`` (the optimum of a linear Gaussian latent-variable model). ``classes`` is what the
first two share: a condition as a row of a table.
"""
