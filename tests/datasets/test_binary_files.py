""".npy, .npz and IDX files, whole and broken."""

import gzip

import numpy as np
import pytest

from pushforward.core.errors import InputError
from pushforward.datasets.binary_files import read_idx, read_idx_folder, read_idx_images, read_npy, read_npz


def idx(array: np.ndarray, code: int = 8) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


PIXELS = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)


@pytest.mark.parametrize("pack", [lambda raw: raw, gzip.compress])
def test_idx_round_trip(tmp_path, pack):
    (tmp_path / "x-idx3-ubyte").write_bytes(pack(idx(PIXELS)))
    assert np.array_equal(read_idx(tmp_path / "x-idx3-ubyte"), PIXELS)


@pytest.mark.parametrize(("code", "kind"), [(9, np.int8), (11, np.int16), (12, np.int32), (13, np.float32), (14, "f8")])
def test_idx_knows_its_types(tmp_path, code, kind):
    array = np.arange(-3, 3).astype(kind).reshape(2, 3)
    (tmp_path / "a.idx").write_bytes(idx(array, code))
    found = read_idx(tmp_path / "a.idx")
    assert found.dtype == np.dtype(kind) and np.array_equal(found, array)


def test_idx_labels_are_found_beside(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    assert read_idx_images(tmp_path / "train-images-idx3-ubyte")[1] is None
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.array([3, 1, 4, 1, 5], np.uint8)))
    assert read_idx_images(tmp_path / "train-images-idx3-ubyte")[1].tolist() == [3, 1, 4, 1, 5]
    assert set(read_idx_folder(tmp_path)) == {"train"}
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(PIXELS[:2]))
    assert [len(x) for x, _ in read_idx_folder(tmp_path).values()] == [5, 2]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (idx(PIXELS)[:-1], "holds 59 bytes"),
        (idx(PIXELS) + b"\0", "holds 61 bytes"),
        (idx(PIXELS)[:7], "cut short in its header"),
        (b"PNG", "does not begin"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-9], "cut short or damaged"),
    ],
)
def test_idx_that_is_broken(tmp_path, raw, message):
    (tmp_path / "x-idx3-ubyte").write_bytes(raw)
    with pytest.raises(InputError, match=message):
        read_idx(tmp_path / "x-idx3-ubyte")


def test_npy_is_mapped(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    array = read_npy(tmp_path / "a.npy")
    assert isinstance(array, np.memmap) and np.array_equal(array, PIXELS)


@pytest.mark.parametrize(
    ("keys", "train", "label", "test"),
    [
        ({"x": 5}, 5, None, None),
        ({"X": 5, "y": -5}, 5, -5, None),
        ({"images": 5, "labels": -5}, 5, -5, None),
        ({"whatever": 5}, 5, None, None),
        ({"train": 5, "test": 3}, 5, None, 3),
        ({"x_train": 5, "y_train": -5, "x_test": 3, "y_test": -3}, 5, -5, 3),
        ({"train_images": 5, "train_labels": -5, "test_images": 3, "test_labels": -3, "other": 2}, 5, -5, 3),
    ],
)
def test_npz_keys(tmp_path, keys, train, label, test):
    arrays = {key: PIXELS[:size] if size > 0 else np.arange(-size) for key, size in keys.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    parts, notes = read_npz(tmp_path / "a.npz")
    assert len(parts["train"][0]) == train and (parts["train"][1] is None) == (label is None)
    assert ("test" in parts) == (test is not None) and (test is None or len(parts["test"][0]) == test)
    assert notes == (("not used in a.npz: other",) if "other" in keys else ())


def test_npz_without_a_name_that_says_what_it_is(tmp_path):
    np.savez(tmp_path / "a.npz", foo=PIXELS, bar=PIXELS)
    with pytest.raises(InputError, match="holds the arrays foo, bar"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("reader", [read_npy, read_npz])
def test_pickles_are_refused(tmp_path, reader):
    objects = np.array([{"a": 1}, None], dtype=object)
    path = tmp_path / ("a.npy" if reader is read_npy else "a.npz")
    (np.save if reader is read_npy else np.savez)(path, objects)
    with pytest.raises(InputError, match="Python objects"):
        reader(path)


@pytest.mark.parametrize("reader", [read_npy, read_npz])
@pytest.mark.parametrize("keep", [0.1, 0.6, 0.95])
def test_files_cut_short(tmp_path, reader, keep):
    path = tmp_path / ("a.npy" if reader is read_npy else "a.npz")
    (np.save if reader is read_npy else np.savez)(path, PIXELS)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(InputError, match="cannot be read"):
        reader(path)
