"""Floor 4: models with a code z for every example, learned by encoding it and decoding it again: ``vae``."""
