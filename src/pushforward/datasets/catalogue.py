"""The data sets that have a name: what each is, and where its files come from. Nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pushforward.datasets.places import cache_folder, data_folder

__all__ = ["ENTRIES", "Entry", "Listing", "RemoteFile", "datasets_available"]


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded, and the SHA-256 of what must arrive.

    Args:
        name: of the file.
        sha256: of its contents, in hexadecimal digits.
        addresses: of folders that hold it, tried in this order.
    """

    name: str
    sha256: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A named data set.

    Args:
        name: what ``load_data`` and ``--data`` take.
        line: what it is, in one line.
        modality: of its examples.
        folder: under which its files lie, in ``PUSHFORWARD_DATA`` and in the cache.
        files: what has to be there; none for a data set that is built in.
    """

    name: str
    line: str
    modality: Literal["points", "images", "table", "text", "audio"]
    folder: str = ""
    files: tuple[RemoteFile, ...] = ()


class Listing(NamedTuple):
    """One line of ``pushforward datasets``."""

    name: str
    line: str
    modality: str
    where: str


def datasets_available() -> list[Listing]:
    """Every named data set, and where it is now. Looks for files but does not read them.

    Example:
        >>> datasets_available()[0].name, datasets_available()[0].where
        ('digits', 'built in')
    """
    return [Listing(entry.name, entry.line, entry.modality, _where(entry)) for entry in ENTRIES.values()]


def _where(entry: Entry) -> str:
    if not entry.files:
        return "built in"
    for place in (data_folder(), cache_folder()):
        if place is not None and all(Path(place, entry.folder, file.name).is_file() for file in entry.files):
            return str(place / entry.folder)
    if not all(file.addresses for file in entry.files):
        return "to be put into PUSHFORWARD_DATA"
    return "downloaded when first used"


def _files(addresses: tuple[str, ...], sums: dict[str, str]) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(name, sha256, addresses) for name, sha256 in sums.items())


# The page of MNIST at yann.lecun.com no longer serves its files to everyone; the first address is the copy that
# torchvision reads. Whoever serves them, the SHA-256 is that of the originals.
_MNIST = _files(
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://yann.lecun.com/exdb/mnist/"),
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
_FASHION = _files(
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
_SHAKESPEARE = _files(
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",),
    {"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
)
_MULTI30K_HOME = ("https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",)
_MULTI30K_EN = _files(
    _MULTI30K_HOME,
    {
        "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
        "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
        "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    },
)
_MULTI30K_DE = _files(
    _MULTI30K_HOME,
    {
        "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
        "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
        "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    },
)
_ADULT = _files(
    ("https://archive.ics.uci.edu/ml/machine-learning-databases/adult/",),
    {
        "adult.data": "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
        "adult.test": "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
    },
)

# One array of all recordings of https://github.com/Jakobovski/free-spoken-digit-dataset, which no server has; a clone
# of that repository does as well (see ``spoken_digits.py``).
_FSDD = _files((), {"fsdd.npz": "cee1f3f1ce7bba185a5c63b23ee421df68288324fe56e8dc1e163757c0fd1c76"})

#: By name, the built-in ones first.
ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("digits", "1,797 scans of handwritten digits, 8 x 8 (scikit-learn)", "images"),
        Entry("8gaussians", "eight Gaussians on a circle", "points"),
        Entry("25grid", "twenty-five narrow Gaussians on a square grid", "points"),
        Entry("rings", "three noisy circles", "points"),
        Entry("moons", "two interlocking half circles", "points"),
        Entry("checkerboard", "every other field of a board, uniform", "points"),
        Entry("spirals", "two noisy arms", "points"),
        Entry("sombrero", "a hat-shaped surface in three dimensions", "points"),
        Entry("mnist", "70,000 handwritten digits, 28 x 28", "images", "mnist", _MNIST),
        Entry("mnist-binary", "the same in black and white, bits drawn for every update", "images", "mnist", _MNIST),
        Entry("fashion-mnist", "70,000 pictures of clothing, 28 x 28", "images", "fashion-mnist", _FASHION),
        Entry("fashion-mnist-binary", "the same in black and white", "images", "fashion-mnist", _FASHION),
        Entry("tinyshakespeare", "1.1 million characters of plays", "text", "tinyshakespeare", _SHAKESPEARE),
        Entry("multi30k", "31,014 English picture captions", "text", "multi30k", _MULTI30K_EN),
        Entry("multi30k-de-en", "the same, given in German", "text", "multi30k", _MULTI30K_EN + _MULTI30K_DE),
        Entry("adult", "48,842 rows of the 1994 US census", "table", "adult", _ADULT),
        Entry("fsdd", "3,000 spoken digits, 8 kHz", "audio", "fsdd", _FSDD),
    )
}
