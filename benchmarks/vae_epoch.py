"""An epoch of a VAE on Fashion-MNIST: our whole trainer, a bare hand-written loop of the same maths, and pythae's.

    PUSHFORWARD_DATA=... python benchmarks/vae_epoch.py [--epochs 5] [--threads 2]

784-512-16 and mirror, batch 128, AdamW (fused on both sides of the first comparison), float32. The three sides take
turns, epoch by epoch, in one process; medians of the epochs and ratios are printed. An epoch of ours holds: batches
in a fresh order, dequantised from uint8 by addressed noise, the loop with its metrics and moving average; the bare loop
does the same maths on the same uint8 tensor with torch's own random numbers and nothing around it. Validation,
pictures and checkpoints are left out on all sides. pythae trains its stock VAE (binary cross-entropy, one-sided
[0, 1] floats), as a user of it would.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time

import torch
from torch import Tensor, nn

import pushforward as pf
from pushforward.training.fabric import launch
from pushforward.training.loop import Loop
from pushforward.training.progress import Bar
from pushforward.zoo import create

WIDTH, LATENT, BATCH = 512, 16, 128


class Bare(nn.Module):
    """The same networks and the same loss, written out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 784))
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        error = (x.flatten(1) - self.decoder(z)) ** 2 * (-self.log_variance).exp()
        return (0.5 * (error + self.log_variance + math.log(2 * math.pi)).sum(1) + kl).mean()


def bare_epoch(images: Tensor, model: Bare, optimizer: torch.optim.Optimizer) -> None:
    """One pass over uint8 images."""
    order = torch.randperm(len(images))
    for start in range(0, len(images) - BATCH + 1, BATCH):
        x = images[order[start : start + BATCH]].float()
        x = (x + torch.rand_like(x)).mul_(2 / 256).sub_(1)
        loss = model(x)
        if not math.isfinite(loss.item()):
            raise ArithmeticError("the bare loop diverged")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def ours(data: pf.Data, steps: int, threads: int) -> tuple[Loop, object]:
    """Our loop, ready to run ``steps`` steps at a time."""
    settings = pf.Settings(steps=10 * steps, batch_size=BATCH, schedule="constant", threads=threads)
    torch.manual_seed(0)
    options = {"network": "mlp", "width": WIDTH, "depth": 1, "latent_dim": LATENT, "variance": "shared"}
    model = create("vae", data, options)
    loop = Loop(
        model, data, settings, fabric=launch(settings), validate=lambda m: 0.0, bar=Bar("benchmark", show=False)
    )
    stage = model.stages()[0]
    return loop, (stage, loop._optimizers(stage))


def pythae_trainer(images: Tensor, folder: str) -> object:
    """pythae's stock trainer with the same sizes."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(784, WIDTH), nn.ReLU())
            self.mean, self.spread = nn.Linear(WIDTH, LATENT), nn.Linear(WIDTH, LATENT)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.body(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.spread(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(LATENT, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 784), nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.body(z).reshape(-1, 1, 28, 28))

    model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce"), Encoder(), Decoder())
    floats = images.float() / 255
    config = BaseTrainerConfig(
        output_dir=folder, num_epochs=1, learning_rate=1e-3, per_device_train_batch_size=BATCH, no_cuda=True
    )
    trainer = BaseTrainer(model, BaseDataset(floats, torch.zeros(len(floats))), training_config=config)
    trainer.prepare_training()
    return trainer


def main() -> int:
    """Take turns and print medians and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = pf.load_data("fashion-mnist")
    data = pf.Data(name=data.name, example=data.example, train=data.train, valid=data.valid, test=data.test)
    images = data.train.x
    data = pf.Data(
        name=data.name, example=data.example, train=type(data.train)(images), valid=data.valid, test=data.test
    )
    steps = len(images) // BATCH
    loop, (stage, optimizers) = ours(data, steps, given.threads)
    bare = Bare()
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-3, fused=True, weight_decay=0.0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pythae_trainer(images, folder)
        sides = {
            "pushforward": lambda: [loop._step(stage, optimizers) for _ in range(steps)],
            "bare loop": lambda: bare_epoch(images, bare, optimizer),
            "pythae": lambda: trainer.train_step(epoch=2),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for epoch in range(given.epochs + 1):  # the first round is not counted
            for name, side in sides.items():
                began = time.perf_counter()
                side()
                times[name].append(time.perf_counter() - began)
            if epoch:
                print("  ".join(f"{name} {laps[-1]:.2f} s" for name, laps in times.items()), flush=True)
    median = {name: statistics.median(laps[1:]) for name, laps in times.items()}
    for peer, bar in (("bare loop", 1.05), ("pythae", 0.8)):
        ratios = [a / b for a, b in zip(times["pushforward"][1:], times[peer][1:], strict=True)]
        print(
            f"pushforward / {peer}: {median['pushforward'] / median[peer]:.3f} of medians, "
            f"{statistics.median(ratios):.3f} median of pairs (bar: at most {bar})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
