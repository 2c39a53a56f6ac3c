r"""Compression in actual bytes: a model that gives probabilities is a code, and here the code is written and read.

| model | code | bits of an example |
|---|---|---|
| a VAE whose likelihood is a mass of whole numbers | bits-back (``bits_back.py``) | minus the bound |
| an autoregressive transformer of pixels | chain rule (``chain_rule.py``) | minus the log-likelihood |

A file is

    b"PFZ1", the length of the header in 4 bytes, the header (JSON, deflated), the stack (``ans.py``)

and its header names the version, the SHA-256 of the model's weights, the number of examples, what they are called, and
a SHA-256 of what they are. Without the model the file is nothing; with another one it is refused.

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
from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Shaped
from torch import Tensor

from pushforward.autoencoders.posteriors import Diagonal
from pushforward.autoencoders.vae import VAE
from pushforward.core.errors import InputError
from pushforward.core.files import digest
from pushforward.core.modality import Image
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.transformers.gpt import GPT
from pushforward.uses.ans import Ans
from pushforward.uses.bits_back import LatentCoder
from pushforward.uses.chain_rule import ChainCoder

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
    """

    contents: bytes
    header: int
    borrowed: int
    count: int
    entries: int

    @property
    def bits_per_entry(self) -> float:
        """Of the whole file, header and all: bits/dim."""
        return 8 * len(self.contents) / (self.count * self.entries)


@dataclass(frozen=True)
class Restored:
    """What was in a file: the examples in storage form, and what they are called (or nothing)."""

    x: Tensor
    names: tuple[str, ...]


def compress(model: Model, x: Shaped[Tensor, "n *shape"], *, names: Sequence[str] = ()) -> Compressed:
    """Examples as the bytes of a file, which has been decoded again and compared before it is returned.

    Args:
        model: a VAE with likelihood bernoulli, discretised-logistic or categorical, a Gaussian posterior of independent
            units and a standard normal prior; or a ``gpt``. Of images.
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
    if not torch.equal(again, x):
        raise FloatingPointError("compress: decoding gave other examples, as this machine does not compute alike twice")
    head = zlib.compress(json.dumps(_header(model, x, names, payload), separators=(",", ":")).encode(), 9)
    contents = MAGIC + len(head).to_bytes(4, "little") + head + payload
    entries = math.prod(model.example.shape)
    return Compressed(contents, len(contents) - len(payload), stack.borrowed, len(x), entries)


def decompress(model: Model, contents: bytes) -> Restored:
    """The examples in a file that ``compress`` wrote with this model.

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
    return Restored(x, tuple(header["names"]))


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
        case GPT():
            nobody = None if model.condition is None else model.given(None, 1)
            return ChainCoder(partial(_next_codes, model, nobody), model.shape[0])
        case _:
            raise InputError(f"model: {type(model).__name__} gives no code, expected a vae or a gpt")


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


def _next_codes(model: GPT, nobody: Any, y: Tensor) -> Tensor:
    """log p of every value of every code given those before."""
    condition = None if nobody is None else type(nobody)(*(part.expand(len(y), *part.shape[1:]) for part in nobody))
    return model.logits(y[:, :-1], condition).log_softmax(2)


def _decoded(model: Model, coder: Coder, payload: bytes, count: int) -> Tensor:
    """Storage examples from the bytes of a stack."""
    y = coder.pop(Ans(payload), count)
    return model.fitted.decode(y, noise=Noise(0, rows=count))


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


def _header(model: Model, x: Tensor, names: Sequence[str], payload: bytes) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "version": version("pushforward"),
        "torch": torch.__version__,
        "model": digest(model.state_dict()),
        "count": len(x),
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
    except (zlib.error, ValueError, KeyError, TypeError):
        sound, header, payload = False, {}, b""
    if not sound:
        raise InputError("file: is damaged or cut short, expected it as it was written")
    return header, payload


def _identity(x: Tensor) -> str:
    """SHA-256 of storage examples."""
    return hashlib.sha256(x.contiguous().cpu().numpy().tobytes()).hexdigest()
