"""Floor 4: transformers. An example is a sequence of codes, and each is predicted from the ones before it.

Read in this order: ``tokens`` (from logits to a draw), ``vocabulary`` (codes as vectors and back), ``gpt``.
"""
