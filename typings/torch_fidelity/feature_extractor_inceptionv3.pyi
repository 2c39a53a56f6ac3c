"""The one class used of an optional package, for the type checker on a machine that has not installed it."""

from torch import Tensor, nn

class FeatureExtractorInceptionV3(nn.Module):
    """An Inception network that returns, for a batch of images, one tensor per wanted layer."""

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None
    ) -> None: ...
    def __call__(self, x: Tensor) -> tuple[Tensor, ...]: ...
