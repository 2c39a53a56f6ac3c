"""The one class used of an optional package, for the type checker on a machine that has not installed it."""

import numpy as np

class UMAP:
    """A map of points to the plane that keeps neighbourhoods."""

    def __init__(
        self,
        n_neighbors: int = 15,
        n_components: int = 2,
        random_state: int | None = None,
        n_jobs: int = -1,
    ) -> None: ...
    def fit_transform(self, X: np.ndarray) -> np.ndarray: ...
