"""The verbs that put a run to use: what they print and write, and what they refuse in one sentence."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pushforward as pf
from pushforward.cli import main
from tests.cli.test_bad_input import refused

SMALL = {"width": 16, "depth": 1, "latent_dim": 2}


def stripes(folder, count: int, seed: int):
    """Small grey pictures of stripes with a little noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = 100 + 80 * ((np.arange(8) // (1 + index % 3)) % 2) + rng.integers(0, 10, (8, 8))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:03}.png")
    return folder


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return stripes(tmp_path_factory.mktemp("data") / "stripes", 250, 0)


@pytest.fixture(scope="module")
def picture_run(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    pf.fit("vae", str(pictures), steps=20, seed=0, out=path, options=SMALL, show=False)
    return str(path)


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 400)
    frame = pd.DataFrame(
        {"pet": np.array(["cat", "dog"])[kind], "weight": (4 + 16 * kind + rng.normal(size=400)).round()}
    )
    source = tmp_path_factory.mktemp("tables") / "pets.csv"
    frame.to_csv(source, index=False)
    pf.fit("mixture", str(source), out=source.parent / "run", show=False)
    return str(source.parent / "run")


# -- compress and decompress -----------------------------------------------------------------------------------------


def test_a_folder_is_compressed_and_comes_back(picture_run, tmp_path, capsys):
    new = stripes(tmp_path / "new", 12, 1)
    (new / "sub").mkdir()
    Image.new("RGB", (20, 9), (9, 99, 200)).save(new / "sub" / "a.jpg")  # another size, other colours
    out = tmp_path / "x.pfz"
    assert main(["compress", picture_run, str(new), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "13 images of 64 numbers" in said and "1 of them was brought to" in said and "PNG, a file each" in said
    assert f"{out.stat().st_size:,} bytes" in said
    assert main(["decompress", str(out), "--run", picture_run, "--out", str(tmp_path / "back")]) == 0
    assert "13 pictures" in capsys.readouterr().out
    for index in range(12):
        before, after = (pixels(folder / f"{index:03}.png") for folder in (new, tmp_path / "back"))
        assert (before == after).all()
    assert pixels(tmp_path / "back" / "sub" / "a.png").shape == (8, 8)


def test_a_vqvae_says_that_it_is_not_lossless(pictures, tmp_path, capsys):
    options = {"width": 16, "depth": 1, "codes": 8, "code_dim": 2, "prior": "independent"}
    run = str(tmp_path / "run")
    pf.fit("vqvae", str(pictures), steps=4, seed=0, out=run, options=options, show=False)
    capsys.readouterr()
    said = []
    for verb in (
        ["compress", run, str(pictures), "--out", str(tmp_path / "x.pfz")],
        ["decompress", str(tmp_path / "x.pfz"), "--run", run, "--out", str(tmp_path / "back")],
    ):
        assert main(verb) == 0
        said.append(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("not lossless")))
    before, after = (
        np.stack([pixels(folder / f"{index:03}.png") for index in range(250)]).astype(float)
        for folder in (pictures, tmp_path / "back")
    )
    off = np.sqrt(((before - after) ** 2).mean())
    sentence = f"not lossless: what comes back is the decoder's picture, off by {off:.2f} of 255 levels"
    assert said == [f"{sentence} (root mean square)"] * 2


def test_the_test_split_is_compressed_without_names(picture_run, tmp_path, capsys):
    assert main(["compress", picture_run, "--out", str(tmp_path / "x.pfz")]) == 0
    assert main(["decompress", str(tmp_path / "x.pfz"), "--run", picture_run, "--out", str(tmp_path / "back")]) == 0
    assert np.load(tmp_path / "back" / "examples.npy").shape == (25, 8, 8)


def test_files_are_compressed_by_name(picture_run, pictures, tmp_path, capsys):
    files = [str(pictures / f"{index:03}.png") for index in (3, 1)]
    assert main(["compress", picture_run, *files, "--out", str(tmp_path / "x.pfz")]) == 0
    assert main(["decompress", str(tmp_path / "x.pfz"), "--run", picture_run, "--out", str(tmp_path / "back")]) == 0
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["001.png", "003.png"]


def other_run(tmp_path, pictures):
    path = tmp_path / "other"
    pf.fit("vae", str(pictures), steps=1, seed=1, out=path, options=SMALL, show=False)
    return str(path)


def test_what_compress_and_decompress_refuse(picture_run, table_run, pictures, tmp_path, capsys):
    good = tmp_path / "good.pfz"
    main(["compress", picture_run, "--out", str(good)])
    (tmp_path / "bad.pfz").write_bytes(good.read_bytes()[:-3])
    (tmp_path / "foreign.pfz").write_bytes(b"PK\x03\x04hello")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.png").write_text("not a picture")
    other = other_run(tmp_path, pictures)
    capsys.readouterr()
    out, run = ["--out", str(tmp_path / "out")], ["--run", picture_run]
    for arguments, names in (
        (["compress"], "run"),
        (["compress", "nowhere", *out], "nowhere"),
        (["compress", picture_run], "--out"),
        (["compress", picture_run, "nowhere.png", *out], "nowhere.png"),
        (["compress", picture_run, str(tmp_path / "words"), *out], "a.png"),
        (["compress", picture_run, str(tmp_path / "full"), *out], "holds no picture"),
        (["compress", picture_run, "--out", str(tmp_path / "no" / "such.pfz")], "cannot be written"),
        (["compress", table_run, *out], "compression is of images"),
        (["compress", picture_run, "--quality", "3", *out], "--quality"),
        (["decompress", *run, *out], "file"),
        (["decompress", "nowhere.pfz", *run, *out], "nowhere.pfz"),
        (["decompress", str(tmp_path / "bad.pfz"), *run, *out], "damaged or cut short"),
        (["decompress", str(tmp_path / "foreign.pfz"), *run, *out], "not one that pushforward compress wrote"),
        (["decompress", str(good), "--run", other, *out], "was written with the model"),
        (["decompress", str(good), "--run", table_run, *out], "was written with the model"),
        (["decompress", str(good), *run, "--out", str(tmp_path / "full")], "is not empty"),
        (["decompress", str(good), *out], "--run"),
    ):
        refused(arguments, tmp_path, capsys, names=names)


def test_a_name_that_leads_out_of_the_folder_is_refused(picture_run, tmp_path, capsys):
    from pushforward.uses.compression import compress

    run = pf.load(picture_run)
    x = run.model.sample(2, seed=0)
    (tmp_path / "x.pfz").write_bytes(compress(run.model, x, names=["../../outside.png", "b.png"]).contents)
    arguments = ["decompress", str(tmp_path / "x.pfz"), "--run", picture_run, "--out", str(tmp_path / "out")]
    refused(arguments, tmp_path, capsys, names="outside.png")


# -- anomalies --------------------------------------------------------------------------------------------------------


def test_the_strange_ones_come_first(picture_run, tmp_path, capsys):
    new = stripes(tmp_path / "new", 10, 2)
    rng = np.random.default_rng(5)
    Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(new / "noise.png")
    scores = tmp_path / "scores.csv"
    assert main(["anomalies", picture_run, "--data", str(new), "--out", str(scores), "-n", "3"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "of 11 examples are above" in said[0] and "3.85%" in said[0]  # 25 validation pictures promise 1 in 26
    assert said[1].split()[1] == "noise.png" and "anomalies.png" in said[4]
    frame = pd.read_csv(scores)
    assert frame["example"][0] == "noise.png" and bool(frame["anomaly"][0])
    assert list(frame["score"]) == sorted(frame["score"], reverse=True) and len(frame) == 11
    for score in ("reconstruction", "ratio"):
        assert main(["anomalies", picture_run, "--data", str(new), "--score", score]) == 0
    assert main(["anomalies", picture_run, "--score", "ratio", "--background", picture_run]) == 0
    assert "0 of 25" in capsys.readouterr().out  # a model against itself finds nothing


def test_pictures_of_another_size_are_named(picture_run, tmp_path, capsys):
    new = stripes(tmp_path / "new", 3, 2)
    for name in ("a.png", "b.png"):
        Image.new("L", (20, 9)).save(new / name)
    assert main(["anomalies", picture_run, "--data", str(new)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("2 of them were brought to 8 x 8")


def test_an_out_that_cannot_be_written_is_refused_before_the_work(picture_run, pictures, tmp_path, monkeypatch, capsys):
    """Minutes of scoring must not end in a complaint about the name of a file."""
    from pushforward.uses import anomalies, compression, denoising

    def never(*arguments, **options):
        raise AssertionError("the work was begun")

    monkeypatch.setattr(anomalies, "anomaly_scores", never)
    monkeypatch.setattr(compression, "compress", never)
    monkeypatch.setattr(denoising, "denoise", never)
    full = str(pictures)
    for arguments, names in (
        (["anomalies", picture_run, "--out", str(tmp_path / "scores.txt")], "scores.txt"),
        (["compress", picture_run, "--out", str(tmp_path / "no" / "such.pfz")], "cannot be written"),
        (["denoise", picture_run, "--data", full, "--out", full], "is not empty"),
        (["sample", picture_run, "--out", str(tmp_path / "x.txt")], "x.txt"),
    ):
        refused(arguments, tmp_path, capsys, names=names)


def test_the_help_of_compress_says_where_pictures_go(capsys):
    assert main(["compress", "--help"]) == 0
    assert "compress RUN PICTURES --out" in " ".join(capsys.readouterr().out.split())


def test_a_word_without_a_flag_is_told_where_it_belongs(picture_run, pictures, tmp_path, capsys):
    out = ["--out", str(tmp_path / "x.pfz")]
    for arguments, names in (
        (["anomalies", picture_run, str(pictures)], f"did you mean --data {pictures}?"),
        (["compress", picture_run, *out, str(pictures)], "words stand before the flags"),
        (["compress", *out, picture_run], "before the flags"),
        (["anomalies", picture_run, "--dat", "x"], "did you mean --data?"),
    ):
        refused(arguments, tmp_path, capsys, names=names)


def test_what_anomalies_refuses(picture_run, table_run, tmp_path, capsys):
    for arguments, names in (
        ([picture_run, "--false-alarms", "0.001"], "at least 999"),
        ([picture_run, "--false-alarms", "2"], "false_alarms"),
        ([picture_run, "--data", "nowhere"], "nowhere"),
        ([picture_run, "--out", str(tmp_path / "scores.txt")], "scores.txt"),
        ([picture_run, "--score", "novelty"], "novelty"),
        ([picture_run, "--background", picture_run], "--score ratio"),
        ([picture_run, "--score", "ratio", "--background", table_run], "background"),
        ([table_run, "--score", "reconstruction"], "no code"),
        ([table_run, "--score", "ratio"], "background"),
        ([picture_run, "-n", "0"], "n"),
        (["nowhere"], "nowhere"),
    ):
        refused(["anomalies", *arguments], tmp_path, capsys, names=names)


# -- denoise ----------------------------------------------------------------------------------------------------------


def test_pictures_are_denoised_under_their_names(picture_run, tmp_path, capsys):
    new = stripes(tmp_path / "new", 4, 3)
    Image.new("L", (20, 9)).save(new / "003.png")  # another size
    assert main(["denoise", picture_run, "--data", str(new), "--out", str(tmp_path / "clean")]) == 0
    assert sorted(path.name for path in (tmp_path / "clean").iterdir()) == [f"{i:03}.png" for i in range(4)]
    said = capsys.readouterr().out
    assert "4 pictures" in said and "1 of them was brought to 8 x 8" in said
    for arguments, names in (
        ([picture_run, "--data", str(new)], "--out"),
        ([picture_run, "--data", str(new), "--out", str(new)], "is not empty"),
        ([picture_run, "--data", "nowhere", "--out", str(tmp_path / "x")], "nowhere"),
        ([picture_run, "--data", str(new), "--out", str(tmp_path / "x"), "--deviation", "3"], "deviation"),
        ([picture_run, "--data", str(new), "--out", str(tmp_path / "x"), "--draws", "0"], "draws"),
    ):
        refused(["denoise", *arguments], tmp_path, capsys, names=names)


# -- sample --given ---------------------------------------------------------------------------------------------------


def partial(tmp_path, text: str) -> str:
    (tmp_path / "partial.csv").write_text(text)
    return str(tmp_path / "partial.csv")


def test_empty_cells_are_filled_and_the_others_stay(table_run, tmp_path, capsys):
    given = partial(tmp_path, "pet,weight\ndog,\n,4\ncat,5\n")
    out = tmp_path / "filled.csv"
    assert main(["sample", table_run, "--given", given, "--seed", "0", "--out", str(out)]) == 0
    assert "2 cells filled" in capsys.readouterr().out
    filled = pd.read_csv(out)
    assert filled["pet"].tolist()[::2] == ["dog", "cat"] and filled["weight"].tolist()[1:] == [4, 5]
    assert filled["pet"][1] in ("cat", "dog") and filled["weight"][0] % 1 == 0
    assert main(["sample", table_run, "--given", given, "-n", "3", "--seed", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "draw,pet,weight" and len(lines) == 1 + 3 * 3 and lines[9].startswith("2,cat,5")
    only = partial(tmp_path, "weight\n20\n")  # a column that is not there is filled throughout
    assert main(["sample", table_run, "--given", only, "--seed", "0"]) == 0
    assert capsys.readouterr().out.splitlines()[1] in ("cat,20.0", "dog,20.0")


@pytest.mark.parametrize(
    ("text", "more", "names"),
    [
        ("pet,weight\nfish,3\n", [], "fish"),
        ("pet,weight\ndog,heavy\ncat,3\ncat,4\n", [], "heavy"),
        ("height\n3\n", [], "foreign columns"),
        ("pet,weight\ndog,\n", ["-n", "0"], "draws"),
        ("pet,weight\ndog,\n", ["--condition", "a"], "condition"),
        ("pet,weight\ndog,\n", ["--prompt", "a"], "prompt"),
        ("pet,weight\ndog,\n", ["--out", "filled.png"], "filled.png"),
        ("", [], "partial.csv"),
    ],
)
def test_what_cannot_be_filled(text, more, names, table_run, tmp_path, capsys):
    refused(["sample", table_run, "--given", partial(tmp_path, text), *more], tmp_path, capsys, names=names)


def test_given_what_is_no_table(table_run, picture_run, tmp_path, capsys):
    refused(["sample", table_run, "--given", "nowhere.csv"], tmp_path, capsys, names="nowhere.csv")
    given = partial(tmp_path, "pet,weight\ndog,\n")
    refused(["sample", picture_run, "--given", given], tmp_path, capsys, names="given")
