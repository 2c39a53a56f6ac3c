"""Floor 4: generative adversarial networks. A generator learns from a critic that tells its samples from data.

They have no likelihood: what they are is measured by their samples.
"""
