# %% [markdown]
# # The linear autoencoder and principal components
#
# Take everything non-linear out of an autoencoder: $z = A x + a$ and $\hat x = B z + b$, with k numbers in z. What it
# then finds is known. The product $B A$ is a matrix of rank k, and the best matrix of rank k in the sense of squares
# projects on the k directions of largest variance, the **principal components**. So gradient descent, without ever
# computing a covariance, must end in the same subspace as PCA.
#
# With the loss in nats the noise level is learned too. For D numbers and one variance v,
#
# $$-\log p(x \mid z) = \tfrac{D}{2} \log 2 \pi v + \frac{\|x - \hat x\|^2}{2 v},$$
#
# whose best v is the mean squared error, which is known as well: the sum of the eigenvalues that were left out, over D.

# %%
import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from pushforward.autoencoders.autoencoder import Autoencoder
from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.core.modality import Points
from pushforward.core.noise import Noise

chapter = Chapter("The linear autoencoder and principal components")

# %% Try: change one number and run again.
scales = (3.0, 2.0, 1.5, 0.5, 0.5, 0.5)  # deviations along six directions: make two of them equal around the cut
k = 3  # numbers in the code: with 4 the fourth direction is one of three that are alike, and PCA is arbitrary too
steps = chapter.size(800, smoke=20)  # of training: the angle falls with it
compared = (1, 2, 4, 8, 16)  # sizes of the code for the digits

# %% [markdown]
# ## The same subspace
#
# Six numbers with three strong directions and three of noise, turned so that no coordinate shows them. Two subspaces
# are compared by their *principal angles*: the largest one is 0 if and only if they are the same.


# %%
def train(model, x, steps, lr=0.02, batch=None):
    """Adam on the loss of the model, the rate falling to 0 over the last two thirds."""
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=len(x)), dtype=model.dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    order = torch.Generator().manual_seed(0)
    losses = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 1.5 * (1 - step / steps))
        some = y if batch is None else y[torch.randint(len(y), (batch,), generator=order)]
        loss = model.loss(some, noise=Noise(1, step, rows=len(some))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def largest_angle(one, other):
    """In degrees, between the spans of the columns of two matrices."""
    (a, _), (b, _) = torch.linalg.qr(one), torch.linalg.qr(other)
    return math.degrees(math.acos(torch.linalg.svdvals(a.T @ b).min().clamp(max=1)))


turn, _ = torch.linalg.qr(Noise(3, rows=len(scales)).normal(len(scales)).double())
x = (Noise(0, rows=500).normal(len(scales)).double() * torch.tensor(scales).double()) @ turn
pca = PCA(len(scales)).fit(x.numpy())
components = torch.from_numpy(pca.components_.T.copy())
torch.manual_seed(0)
model = Autoencoder(example=Points(dim=len(scales)), latent_dim=k, network="linear").double()
angles, losses = [], []
for _ in range(10):  # in ten pieces, to look in between
    columns = model.decoder.net.layers[0].weight.detach().clone()
    angles.append(largest_angle(columns, components[:, :k]))
    losses += train(model, x, steps // 10)
columns = model.decoder.net.layers[0].weight.detach()
angles.append(largest_angle(columns, components[:, :k]))
allowed = 90.0 if chapter.smoke else 1.0
chapter.known("largest angle to PCA, degrees", angles[-1], 0.0, source="best rank-k matrix", within=allowed)

left_out = float(((x - x.mean(0)).square().mean(0).sum()) * (1 - pca.explained_variance_ratio_[:k].sum()))
dim = len(scales)
best = dim / 2 * (1 + math.log(2 * math.pi * left_out / dim))
slack = 100.0 if chapter.smoke else 0.02
chapter.known("loss, nats", losses[-1], best, source="D/2 (1 + ln 2 pi v)", within=slack)

# %% [markdown]
# ## The same subspace, but not the same axes
#
# The columns of B span the subspace, and no more: put any invertible matrix between encoder and decoder and its inverse
# behind it, and every example still comes back the same. So the columns are oblique, of any length, and another seed
# gives others. PCA adds what the loss does not ask for: axes at right angles, in the order of their variance. The
# singular value decomposition of what comes *back* puts them in afterwards.

# %%
again = model.decode(model.encode(x))
_, _, found = torch.linalg.svd(again - again.mean(0), full_matrices=False)
alike = (found[:k] @ components[:, :k]).diagonal().abs()
raw = (columns / columns.norm(dim=0)).T @ components[:, :k]
mixed = raw.abs().max(1).values
print("columns of B, cosine to the nearest component:", [round(v, 2) for v in mixed.tolist()])
loose = 1.0 if chapter.smoke else 0.01
chapter.known("components from the SVD, least cosine", alike.min(), 1.0, source="PCA of the same data", within=loose)

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.7))
axes[0].plot([steps // 10 * i for i in range(11)], angles, "o-", color=BLUE)
axes[0].axhline(1.0, color=GREY, lw=1, ls="--")
axes[0].set(yscale="log", xlabel="steps", ylabel="degrees", title="Largest angle to the PCA subspace (dashed: 1)")
picture = axes[1].imshow(raw.abs().numpy(), vmin=0, vmax=1)
axes[1].set(xticks=range(k), yticks=range(k), xlabel="principal component", ylabel="column of B")
axes[1].set_title("Cosines: the columns are mixtures")
figure.colorbar(picture)
chapter.show(figure, "19-angles-and-axes")

# %% [markdown]
# ## What the bends are good for
#
# Digits of 8 x 8 pixels lie on no plane. With hidden layers the code follows the curved shape of the data, and the same
# number of code entries keeps more of the picture: look at the gap where the code is small. With many entries it
# closes, as a plane of 16 dimensions holds most of a digit anyway, and the network has only so many examples to learn
# its bends from. PCA, computed and not trained, is the line to beat.

# %%
pixels = torch.from_numpy(load_digits().data / 8 - 1)
train_rows, held_out = pixels[:1500], pixels[1500:]
shown = torch.tensor([0, 4, 11, 21, 31, 41, 51])
curves, pictures = {"PCA": [], "autoencoder": []}, {}
for size in compared:
    linear = PCA(size).fit(train_rows.numpy())
    flat = torch.from_numpy(linear.inverse_transform(linear.transform(held_out.numpy())))
    torch.manual_seed(0)
    deep = Autoencoder(example=Points(dim=64), latent_dim=size, width=128, depth=2)
    train(deep, train_rows, chapter.size(900, smoke=10), lr=3e-3, batch=128)
    bent = deep.eval().decode(deep.encode(held_out))
    for name, back in (("PCA", flat), ("autoencoder", bent)):
        curves[name].append((back - held_out).square().mean().item())
    if size == 2:
        pictures = {"held out": held_out[shown], "PCA, 2 numbers": flat[shown], "autoencoder, 2": bent[shown]}

figure = plt.figure(figsize=(9.5, 3.8))
left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
axis = left.subplots()
for name, colour in (("PCA", ORANGE), ("autoencoder", BLUE)):
    axis.plot(compared, curves[name], "o-", color=colour, label=name)
axis.axhline(held_out.var(0, correction=0).mean(), color=ACCENT, lw=1, ls="--", label="no code at all")
axis.set(xscale="log", xticks=compared, xticklabels=compared, xlabel="numbers in the code")
axis.set(ylabel="mean squared error", title="Held-out digits")
axis.minorticks_off()
axis.legend()
for row, (name, images) in zip(right.subplots(len(pictures), len(shown)), pictures.items(), strict=True):
    for axis, image in zip(row, images, strict=True):
        axis.imshow(image.reshape(8, 8).numpy(), cmap="Greys", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
    row[0].set_title(name, loc="left", fontsize=9)
chapter.show(figure, "19-digits")
gain = curves["PCA"][1] / curves["autoencoder"][1]
print(f"with 2 numbers the autoencoder's squared error is {gain:.2f} times smaller than that of PCA")

# %%
chapter.end()
