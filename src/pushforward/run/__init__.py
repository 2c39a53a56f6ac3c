"""Floor 8: the run folder, and the verbs over it: ``fit``, ``resume``, ``load``, and ``Run.sample``.

``folder`` (what a run folder holds, and how it comes to be in one step), ``outline`` (what was understood and chosen),
``verbs`` (fit and resume), ``loaded`` (a run that can be sampled).
"""
