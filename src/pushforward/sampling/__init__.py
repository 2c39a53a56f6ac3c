"""Floor 3: draws from a density: direct, by rejection and importance, along Markov chains, and by solving equations."""
