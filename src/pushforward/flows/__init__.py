"""Floor 4: normalizing flows, densities by change of variables.

Read in this order: ``bijections`` (maps that know their inverse and their log-determinant), ``coupling`` (the affine
coupling, which makes any network a bijection), ``realnvp`` (the model).
"""
