r"""Judges of reconstructed pictures: what makes them sharp where a few codes leave much open.

The mean :math:`\hat x` of p(x | k) is then a blurred picture: the average of the sharp ones there could have been. Two
terms beside :math:`-\log p(x \mid k)` ask for one of these instead,

.. math:: \lambda_a D\, L_G(\hat x) + \lambda_p D\, d(x, \hat x),

what a critic of patches has against it (``patch_critic.py``), and its distance from x in the features of a classifier
(``perceptual.py``). D is the number of entries: log p(x | k) is a sum over them, so a weight is in nats per entry and
means the same at every size. The price is squared error, and with it likelihood: a sharp guess of what is not known is
further off than its average. For the critic 1 is a good first try; with 3 the pictures fell apart. In Esser et al. the
weight of the critic follows the gradients of each batch; here it is fixed, so that the loss of an example is its own.

Pictures are judged in the units that an encoder reads. A mean lies between the levels of a pixel. With 256
levels that hardly shows; with two it does, and the critic asks for probabilities near 0 and 1.

Reference:
    Esser, Rombach and Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis", section 3.1.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.autoencoders.patch_critic import PatchCritic
from pushforward.autoencoders.perceptual import Features
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Modality
from pushforward.core.noise import Noise
from pushforward.core.stages import Phase, Stage, Terms

__all__ = ["Judges"]

#: Share of the steps for codes that pass before pictures are judged: of grey patches there is nothing to learn, and the
#: features are learned meanwhile. Esser et al. start their critic late as well.
ALONE = 0.25


class Judges(nn.Module):
    """A critic, features, both or neither, and what they have against a picture.

    Args:
        example: the pictures, or anything else if both weights are 0.
        condition: the features are those of a classifier of it where it is a label, else of quarter turns.
        adversarial: weight of the critic; 0 for none.
        perceptual: weight of the features; 0 for none.

    Raises:
        InputError: if a weight is negative or not finite, or is not 0 and the examples are no images.

    Example:
        >>> x = torch.rand(2, 1, 8, 8)
        >>> terms = Judges(Image(height=8, width=8), None, adversarial=0.1, perceptual=0.5).terms(x, x)
        >>> terms["adversarial"].shape, terms["perceptual"].tolist()
        (torch.Size([2]), [0.0, 0.0])
    """

    def __init__(self, example: Modality, condition: Modality | None, *, adversarial: float, perceptual: float) -> None:
        super().__init__()
        for name, weight in (("adversarial", adversarial), ("perceptual", perceptual)):
            if not 0 <= weight < math.inf:
                raise InputError(f"{name}: got {weight}, expected a finite number of at least 0")
            if weight and not isinstance(example, Image):
                raise InputError(f"{name}: got {weight} for {example.describe()}, expected 0, or images")
        entries = math.prod(example.shape)
        self.adversarial, self.perceptual = adversarial * entries, perceptual * entries
        self.critic, self.features = None, None
        if adversarial:
            self.critic = PatchCritic(example.shape)
        if perceptual:
            classes = condition.size if isinstance(condition, Label) and condition.size > 1 else 0
            self.features = Features(example.shape, classes)

    def stages(self, codes: Phase, *, pictures: Terms, critic: Terms, features: Terms, share: float) -> list[Stage]:
        """The stage that learns codes, and where there are judges a second one that heeds them.

        Two stages, because the weights of the first are chosen by a bound that sharp pictures lower, and those of the
        second are not.

        Args:
            codes: how codes are learned.
            pictures: the terms of ``codes`` and those of the judges.
            critic: what the critic descends on.
            features: what the features descend on.
            share: of all steps.
        """
        if self.critic is None and self.features is None:
            return [Stage(name="codes", phases=[codes], share=share)]
        first, then = [codes], [replace(codes, name="pictures", terms=pictures)]
        if self.features is not None:
            first.append(Phase(name="features", terms=features, parameters=list(self.features.parameters())))
        if self.critic is not None:
            # Without first moments: in a game the gradient of the last step is no guide (Karras et al. 2018 do so).
            weights = list(self.critic.parameters())
            then.append(Phase(name="critic", terms=critic, parameters=weights, betas=(0.0, 0.99)))
        return [
            Stage(name="codes", phases=first, share=ALONE * share),
            Stage(name="pictures", phases=then, share=(1 - ALONE) * share, keep="last"),
        ]

    def terms(
        self, x: Float[Tensor, "batch channels height width"], mean: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch"]]:
        """What they have against ``mean`` as a reconstruction of x; they learn nothing from it."""
        terms = {}
        if self.critic is not None:
            terms["adversarial"] = self.adversarial * self.critic.unconvinced(mean)
        if self.features is not None:
            terms["perceptual"] = self.perceptual * self.features.distance(x, mean)
        return terms

    def critic_terms(
        self, x: Float[Tensor, "batch channels height width"], mean: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch"]]:
        """What the critic learns: x from its reconstruction."""
        assert self.critic is not None
        return self.critic.terms(x, mean)

    def feature_terms(
        self, x: Float[Tensor, "batch channels height width"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """What the features come from: the class of a picture, or how it was turned."""
        assert self.features is not None
        if self.features.turns:
            return {"turns": self.features.turn_loss(x, noise.uniform(like=x))}
        if condition is None:
            nothing = torch.zeros(len(x), dtype=torch.int64, device=x.device)
            condition = Condition(nothing, nothing.bool())
        return {"labels": self.features.label_loss(x, condition.value, condition.present)}
