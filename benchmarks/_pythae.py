"""Two variational autoencoders written out in plain torch, and pythae's trainer on them: the other side of comparisons.

The networks are layer by layer those that our ``vae`` makes from the options beside them.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

BATCH = 128
LATENT = 16

#: Fields of our model for the same networks.
OPTIONS: dict[str, dict[str, Any]] = {
    "mlp": {"network": "mlp", "width": 512, "depth": 1, "latent_dim": LATENT, "likelihood": "bernoulli"},
    "conv": {"network": "conv", "width": 128, "depth": 2, "latent_dim": LATENT, "likelihood": "bernoulli"},
}

Network = Literal["mlp", "conv"]


class Block(nn.Module):
    """Two convolutions added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        groups = max(channels // 8, 1)
        self.body = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def encoder_of(network: Network) -> nn.Module:
    """28 x 28 pixels to the mean and log-variance of the code."""
    if network == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.SiLU(), nn.Linear(512, 2 * LATENT))
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, padding=1), Block(outputs)]
    return nn.Sequential(*layers, nn.GroupNorm(8, 64), nn.SiLU(), nn.Flatten(), nn.Linear(64 * 16, 2 * LATENT))


def decoder_of(network: Network) -> nn.Module:
    """A code to the logits of 28 x 28 pixels."""
    if network == "mlp":
        return nn.Sequential(nn.Linear(LATENT, 512), nn.SiLU(), nn.Linear(512, 784), nn.Unflatten(1, (1, 28, 28)))
    layers: list[nn.Module] = [nn.Linear(LATENT, 64 * 16), nn.Unflatten(1, (64, 4, 4))]
    for inputs, outputs, side in ((64, 32, 7), (32, 16, 14), (16, 8, 28)):
        layers += [Block(inputs), nn.Upsample(side, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1)]
    return nn.Sequential(*layers, nn.GroupNorm(1, 8), nn.SiLU(), nn.Conv2d(8, 1, 3, padding=1))


@dataclass
class Peer:
    """pythae's model and its trainer, ready for ``trainer.train_step``."""

    model: Any
    trainer: Any

    def sample(self, n: int) -> Tensor:
        """pythae's sampler, which gives the means of pixels."""
        from pythae.samplers import NormalSampler

        return NormalSampler(self.model).sample(num_samples=n, batch_size=256)


def peer(network: Network, pixels: Tensor, folder: str, *, seed: int = 0) -> Peer:
    """pythae's VAE on pixels in [0, 1] (N, 1, 28, 28), with its usual optimiser and rate."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = encoder_of(network)

        def forward(self, x: Tensor) -> ModelOutput:
            mean, spread = self.body(x).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=spread)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = decoder_of(network)

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.body(z).sigmoid())

    torch.manual_seed(seed)
    settings = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(settings, Encoder(), Decoder())
    config = BaseTrainerConfig(
        output_dir=folder, num_epochs=1, learning_rate=1e-3, per_device_train_batch_size=BATCH, no_cuda=True, seed=seed
    )
    trainer = BaseTrainer(model, BaseDataset(pixels, torch.zeros(len(pixels))), training_config=config)
    trainer.prepare_training()
    return Peer(model, trainer)
