r"""Compression in actual bytes: a model that gives probabilities is a code, and here the code is written and read.

| model | code | bits of an example |
|---|---|---|
| a VAE whose likelihood is a mass of whole numbers | bits-back (``bits_back.py``) | minus the bound |
| an autoregressive transformer of pixels | chain rule (``chain_rule.py``) | minus the log-likelihood |
| a VQ-VAE, *lossy* | indices of codes (``code_indices.py``) | minus the log-likelihood of the indices |

The first two are lossless. Of the third, the decoder's picture comes back, and its distortion is stated. A file is

    b"PFZ1", the length of the header in 4 bytes, the header (JSON, deflated), the stack (``ans.py``)

and its header names the version, the SHA-256 of the model's weights, the number of examples, what they are called, the
distortion (null where nothing is lost), and a SHA-256 of what comes back. Without the model the file is nothing; with
another one it is refused.

The networks run in 64 bits on one thread, since both sides must compute the same frequencies to the last bit. A file
may still fail to decode on a machine whose numerical library rounds differently; it then says so, by the SHA-256.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Shaped
from torch import Tensor

from pushforward.autoencoders.posteriors import Diagonal
from pushforward.autoencoders.vae import VAE
from pushforward.autoencoders.vqvae import VQVAE
from pushforward.core.errors import InputError
from pushforward.core.files import digest
from pushforward.core.modality import Image
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.uses.ans import Ans
from pushforward.uses.bits_back import LatentCoder
from pushforward.uses.code_indices import IndexCoder, chain_coder_of, distortion_of, index_coder_of

__all__ = ["Compressed", "Restored", "compress", "decompress", "picture_bytes", "picture_files_of"]

#: What a file begins with: its kind and the version of its layout.
MAGIC = b"PFZ1"

#: A header longer than this belongs to no file of ours: a million names of fifty letters.
LONGEST_HEADER = 2**26


class Coder(Protocol):
    """A way to put examples in model units on a stack and to take them off again."""

    def push(self, stack: Ans, y: Tensor) -> None:
        """Push examples."""
        ...

    def pop(self, stack: Ans, n: int) -> Tensor:
        """Pop them, in the order they were pushed in."""
        ...


@dataclass(frozen=True)
class Compressed:
    """A compressed set of examples.

    Args:
        contents: of the file.
        header: bytes of it that are not code.
        borrowed: bits that a bits-back chain took at its start.
        count: examples in it.
        entries: numbers in one example.
        distortion: root mean square difference, in levels, between what was put in and what comes back; None where
            nothing is lost.
    """

    contents: bytes
    header: int
    borrowed: int
    count: int
    entries: int
    distortion: float | None = None

    @property
    def bits_per_entry(self) -> float:
        """Of the whole file, header and all: bits/dim."""
        return 8 * len(self.contents) / (self.count * self.entries)


@dataclass(frozen=True)
class Restored:
    """What was in a file.

    Args:
        x: the examples in storage form.
        names: what they are called, or nothing.
        distortion: root mean square difference from what was put in, in levels; None where nothing is lost.
    """

    x: Tensor
    names: tuple[str, ...]
    distortion: float | None = None


def compress(model: Model, x: Shaped[Tensor, "n *shape"], *, names: Sequence[str] = ()) -> Compressed:
    """Examples as the bytes of a file, which has been decoded again and compared before it is returned.

    Args:
        model: a VAE with likelihood bernoulli, discretised-logistic or categorical, a Gaussian posterior of independent
            units and a standard normal prior; or a ``gpt``; or, with loss, a ``vqvae``. Of images.
        x: storage examples.
        names: what they are called, one each, or none.

    Raises:
        InputError: if the model cannot, or the examples are not of its kind.
        FloatingPointError: if this machine does not compute the same twice, so that the file could not be read.
    """
    model.example.check(x)
    if len(x) == 0:
        raise InputError("x: got no example, expected at least one")
    if names and len(names) != len(x):
        raise InputError(f"names: got {len(names)}, expected {len(x)}, one for each example")
    with _still(model) as still:
        coder, stack = coder_of(still), Ans()
        y, _ = still.fitted.encode(x, noise=Noise(0, rows=len(x)), dtype=torch.float64)
        coder.push(stack, y)
        payload = stack.to_bytes()
        again = _decoded(still, coder, payload, len(x))
        lossy = isinstance(coder, IndexCoder)
        expected = _stored(still, coder.kept(y)) if lossy else x
    if not torch.equal(again, expected):
        raise FloatingPointError("compress: decoding gave other examples, as this machine does not compute alike twice")
    distortion = distortion_of(x, again) if lossy else None
    header = _header(model, again, names, payload, distortion)
    head = zlib.compress(json.dumps(header, separators=(",", ":")).encode(), 9)
    contents = MAGIC + len(head).to_bytes(4, "little") + head + payload
    entries = math.prod(model.example.shape)
    return Compressed(contents, len(contents) - len(payload), stack.borrowed, len(x), entries, distortion)


def decompress(model: Model, contents: bytes) -> Restored:
    """The examples in a file that ``compress`` wrote with this model: of a lossy one, the decoder's pictures.

    Raises:
        InputError: if the contents are something else, damaged, or written with another model.
    """
    header, payload = _read(contents)
    weights = digest(model.state_dict())
    if header["model"] != weights:
        raise InputError(
            f"file: was written with the model {header['model'][:12]}, expected that run and not {weights[:12]}"
        )
    with _still(model) as still:
        x = _decoded(still, coder_of(still), payload, header["count"])
    if _identity(x) != header["contents"]:
        raise InputError(
            f"file: does not decode to what was put in, expected pushforward {header['version']} with torch "
            f"{header['torch']} on the kind of machine it was written on"
        )
    return Restored(x, tuple(header["names"]), header["distortion"])


def picture_bytes(
    x: Shaped[Tensor, "n c h w"], example: Image, *, quality: int | None = None, together: bool = False
) -> int:
    """Bytes of the same images as PNG, as small as Pillow makes them, or as JPEG of a quality (lossy).

    Images of two levels are written with one bit a pixel.

    Args:
        x: storage images.
        example: what they are.
        quality: of JPEG, 1 to 95; None is PNG.
        together: one picture of all of them side by side, which spares the others' headers, instead of a file each.

    Raises:
        InputError: if images of so many channels are no pictures.
    """
    if together:
        columns = math.ceil(math.sqrt(len(x)))
        blank = x.new_zeros(-len(x) % columns, *x.shape[1:])
        rows = torch.cat([x, blank]).unflatten(0, (-1, columns))
        x = rows.permute(2, 0, 3, 1, 4).flatten(1, 2).flatten(2)[None]
    return sum(len(data) for data in picture_files_of(x, example, quality=quality))


def picture_files_of(x: Shaped[Tensor, "n c h w"], example: Image, *, quality: int | None = None) -> Iterator[bytes]:
    """Each image as the contents of a PNG or JPEG file."""
    from PIL import Image as Picture

    if example.channels > 4:
        raise InputError(f"x: images of {example.channels} channels are no pictures, expected 1 to 4")
    eight_bits = (x.double() * (255 / (example.levels - 1))).round().to(torch.uint8)
    for pixels in eight_bits.permute(0, 2, 3, 1).numpy():
        picture = Picture.fromarray(pixels[..., 0] if example.channels == 1 else pixels)
        file = io.BytesIO()
        if quality is not None:
            picture.convert("L" if example.channels < 3 else "RGB").save(file, format="JPEG", quality=quality)
        else:
            (picture.convert("1") if example.levels == 2 else picture).save(file, format="PNG", optimize=True)
        yield file.getvalue()


def coder_of(model: Model) -> Coder:
    """The code that a model gives.

    Raises:
        InputError: naming what is in the way, if it gives none.
    """
    if not isinstance(model.example, Image):
        raise InputError(f"model: works on {model.example.describe()}, compression is of images")
    match model:
        case VAE():
            return _latent_coder(model)
        case VQVAE():
            return index_coder_of(model)
        case _:
            chain = chain_coder_of(model)
            if chain is None:
                raise InputError(f"model: {type(model).__name__} gives no code, expected a vae, a gpt or a vqvae")
            return chain


def _latent_coder(model: VAE) -> LatentCoder:
    """Bits-back coding with a VAE, without condition."""
    assert isinstance(model.example, Image)
    for name, wrong, expected in (
        ("likelihood", model.observed.space != "native", "bernoulli, discretised-logistic or categorical"),
        ("prior", model.prior != "normal", "normal"),
        ("posterior", model.posterior != "diagonal", "diagonal"),
        ("absent", model.absent != "null", "null"),
    ):
        if wrong:
            raise InputError(f"model: has {name} {getattr(model, name)!r}, bits-back coding needs {name} {expected}")

    def posterior(y: Tensor) -> tuple[Tensor, Tensor]:
        q = model.posterior_of(y, model.given(None, len(y)))
        assert isinstance(q, Diagonal)
        return q.mean, (0.5 * q.log_variance).exp().expand_as(q.mean)

    def theta(z: Tensor) -> Tensor:
        return model.decode_theta(z, model.given(None, len(z)))

    return LatentCoder(posterior, theta, model.observed, model.latent_dim, model.example.levels, model.shape)


def _decoded(model: Model, coder: Coder, payload: bytes, count: int) -> Tensor:
    """Storage examples from the bytes of a stack."""
    return _stored(model, coder.pop(Ans(payload), count))


def _stored(model: Model, y: Tensor) -> Tensor:
    """Storage examples from model units."""
    return model.fitted.decode(y, noise=Noise(0, rows=len(y)))


@contextmanager
def _still(model: Model) -> Iterator[Any]:
    """A copy of the model that computes the same every time: 64 bits, on the CPU, one thread, no dropout."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield copy.deepcopy(model).cpu().double().eval()
    finally:
        torch.set_num_threads(threads)


def _header(model: Model, x: Tensor, names: Sequence[str], payload: bytes, distortion: float | None) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "version": version("pushforward"),
        "torch": torch.__version__,
        "model": digest(model.state_dict()),
        "count": len(x),
        "distortion": distortion,
        "contents": _identity(x),
        "check": zlib.crc32(payload),
        "names": list(names),
    }


def _read(contents: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and stack of a file.

    Raises:
        InputError: if it is none, or damaged.
    """
    if not contents.startswith(MAGIC):
        raise InputError("file: is not one that pushforward compress wrote, expected a .pfz file")
    size = int.from_bytes(contents[4:8], "little")
    try:
        header = json.loads(zlib.decompress(contents[8 : 8 + min(size, LONGEST_HEADER)]))
        payload = contents[8 + size :]
        sound = zlib.crc32(payload) == header["check"] and header["count"] >= 1 and len(header["model"]) == 64
        # Files written before there was a distortion are lossless.
        sound = sound and isinstance(header.setdefault("distortion", None), float | None)
    except (zlib.error, ValueError, KeyError, TypeError):
        sound, header, payload = False, {}, b""
    if not sound:
        raise InputError("file: is damaged or cut short, expected it as it was written")
    return header, payload


def _identity(x: Tensor) -> str:
    """SHA-256 of storage examples."""
    return hashlib.sha256(x.contiguous().cpu().numpy().tobytes()).hexdigest()
