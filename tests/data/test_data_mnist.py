"""mnist(): finding the files, fitting images to labels, the CSV, and the real data where it is at hand."""

import gzip
import hashlib
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_edu.data import DataError, Split, mnist, read_idx, write_idx

STEMS = {"train-images": 3, "train-labels": 1, "t10k-images": 3, "t10k-labels": 1}
HEADER = ",".join(["label", *(f"pixel{i}" for i in range(784))])


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)


@pytest.fixture
def labels():
    return np.arange(12, dtype=np.uint8) % 10


def write_set(folder, pixels, labels, mark="-", gz=".gz"):
    for part, rows in ("train", slice(0, 9)), ("t10k", slice(9, 12)):
        write_idx(folder / f"{part}-images{mark}idx3-ubyte{gz}", pixels[rows])
        write_idx(folder / f"{part}-labels{mark}idx1-ubyte{gz}", labels[rows])


def error_of(path, **options):
    with pytest.raises(DataError) as raised:
        mnist(path, **options)
    return str(raised.value)


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("gz", ["", ".gz"])
def test_idx_files_under_each_of_their_names(tmp_path, pixels, labels, mark, gz):
    write_set(tmp_path, pixels, labels, mark, gz)
    split = mnist(tmp_path)
    assert isinstance(split, Split)
    assert repr(split) == "Split(mnist: 12 images of 28x28, 9 train, 3 test, 10 classes, float64)"
    np.testing.assert_array_equal(split.x_train, pixels[:9].reshape(9, 784) / 255)
    np.testing.assert_array_equal(split.x_test, pixels[9:].reshape(3, 784) / 255)
    assert split.t_train.tolist() == labels[:9].tolist()
    assert split.t_test.tolist() == labels[9:].tolist()
    assert split.t_train.dtype == split.t_test.dtype == np.int64
    assert (split.classes, split.image_shape) == (10, (28, 28))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pixel_scale_and_dtype(tmp_path, pixels, labels, dtype):
    pixels[0, 0, :2] = 0, 255
    write_set(tmp_path, pixels, labels)
    split = mnist(str(tmp_path), dtype=dtype, scale=(-0.5, 0.5))
    assert split.x_train.dtype == split.x_test.dtype == dtype
    assert split.x_train[0, :2].tolist() == [-0.5, 0.5]
    wanted = (pixels[:9].reshape(9, 784) / 255 - 0.5).astype(dtype)
    np.testing.assert_allclose(split.x_train, wanted, rtol=0, atol=np.finfo(dtype).eps)
    wide = mnist(tmp_path, scale=(-1, 3)).x_train
    np.testing.assert_allclose(wide, 4 * (pixels[:9].reshape(9, 784) / 255) - 1)
    assert wide[0, :2].tolist() == [-1, 3]


@pytest.mark.parametrize("scale", [(0, np.inf), (0, np.nan), (0, 1, 2), 1])
def test_a_scale_is_two_finite_numbers(tmp_path, pixels, labels, scale):
    write_set(tmp_path, pixels, labels)
    assert "scale: two finite numbers (lowest, highest) are expected" in error_of(tmp_path, scale=scale)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "complex128", "bool"])
def test_pixels_are_floats(tmp_path, pixels, labels, dtype):
    write_set(tmp_path, pixels, labels)
    assert f"{dtype} cannot hold them" in error_of(tmp_path, dtype=dtype)


def test_missing_files_are_listed_with_the_names_that_were_looked_for(tmp_path, pixels, labels):
    assert error_of(tmp_path / "none") == f"{tmp_path / 'none'}: no such file or folder."
    message = error_of(tmp_path)
    assert message.startswith(f"{tmp_path}: MNIST is not here; looked for train-images-idx3-ubyte, ")
    for stem, ndim in STEMS.items():
        for name in f"{stem}-idx{ndim}-ubyte", f"{stem}.idx{ndim}-ubyte":
            assert f"{name}, {name}.gz, " in message
    assert message.endswith(", train.csv, train.csv.gz.")

    write_set(tmp_path, pixels, labels)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").mkdir()  # some archives unpack into a folder of the file's name
    assert error_of(tmp_path) == (
        f"{tmp_path}: part of MNIST is missing; looked for t10k-labels-idx1-ubyte, "
        "t10k-labels-idx1-ubyte.gz, t10k-labels.idx1-ubyte, t10k-labels.idx1-ubyte.gz."
    )


IMAGES = "train-images-idx3-ubyte.gz"
LABELS = "train-labels-idx1-ubyte.gz"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            IMAGES,
            np.zeros(9, np.uint8),
            f"{IMAGES}: this is a label file (magic 2049), images (magic 2051) are expected.",
        ),
        (
            LABELS,
            np.zeros((9, 28, 28), np.uint8),
            f"{LABELS}: this is an image file (magic 2051), labels (magic 2049) are expected.",
        ),
        (
            IMAGES,
            np.zeros((9, 784), np.float32),
            f"{IMAGES}: this is float32 in 2 dimensions (magic 3330), images (magic 2051) are expected.",
        ),
        (LABELS, np.zeros(8, np.uint8), f"{IMAGES}: 9 images, but {LABELS} has 8 labels."),
        (
            LABELS,
            np.array([0, 1, 2, 255, 0, 0, 10, 0, 0], np.uint8),
            f"{LABELS}: label 255 at position 3 is outside 0..9.",
        ),
        (
            LABELS,
            np.array([0, 0, 0, 0, 0, 0, 0, 0, 10], np.uint8),
            f"{LABELS}: label 10 at position 8 is outside 0..9.",
        ),
        (
            IMAGES,
            np.zeros((9, 8, 8), np.uint8),
            f"t10k-images-idx3-ubyte.gz: images of 28x28, but those of {IMAGES} are 8x8.",
        ),
        (IMAGES, np.zeros((9, 0, 28), np.uint8), f"{IMAGES}: there is no image in it."),
    ],
)
def test_idx_files_that_do_not_fit(tmp_path, pixels, labels, name, array, message):
    write_set(tmp_path, pixels, labels)
    write_idx(tmp_path / name, array)
    assert error_of(tmp_path) == message


def test_an_empty_set_is_refused(tmp_path, pixels, labels):
    write_set(tmp_path, pixels[:9], labels[:9])
    assert error_of(tmp_path) == "t10k-images-idx3-ubyte.gz: there is no image in it."


# The CSV


def csv_text(pixels, labels, end="\n"):
    rows = np.column_stack([labels, pixels.reshape(len(pixels), -1)]).tolist()
    return end.join([HEADER, *(",".join(map(str, row)) for row in rows)]) + end


def write_csv(folder, text, name="train.csv"):
    path = folder / name
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def assert_holds(split, pixels, labels):
    """The split has exactly these images with these labels, in whatever order."""
    seen = np.vstack([split.x_train, split.x_test]) * 255
    rows = np.column_stack([np.concatenate([split.t_train, split.t_test]), np.rint(seen)]).astype(int)
    wanted = np.column_stack([labels, pixels.reshape(len(pixels), -1)])
    assert sorted(rows.tolist()) == sorted(wanted.tolist())


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
@pytest.mark.parametrize("by_folder", [True, False])
def test_csv_by_file_and_by_folder(tmp_path, pixels, labels, name, by_folder):
    path = write_csv(tmp_path, csv_text(pixels, labels), name)
    split = mnist(tmp_path if by_folder else path, held_out=4)
    assert repr(split) == "Split(mnist: 12 images of 28x28, 8 train, 4 test, 10 classes, float64)"
    assert split.t_train.dtype == np.int64
    assert split.x_test.shape == (4, 784)
    assert_holds(split, pixels, labels)


def test_the_first_rows_after_shuffling_are_held_out(tmp_path, pixels, labels):
    path = write_csv(tmp_path, csv_text(pixels, labels))
    order = np.random.default_rng(7).permutation(12)
    for rng in 7, np.random.default_rng(7):
        split = mnist(path, held_out=5, rng=rng)
        assert split.t_test.tolist() == labels[order[:5]].tolist()
        assert split.t_train.tolist() == labels[order[5:]].tolist()
        np.testing.assert_array_equal(split.x_test, pixels[order[:5]].reshape(5, 784) / 255)
    assert mnist(path, held_out=5, rng=8).t_test.tolist() != labels[order[:5]].tolist()


def test_idx_files_are_preferred_to_a_csv_beside_them(tmp_path, pixels, labels):
    write_set(tmp_path, pixels, labels)
    write_csv(tmp_path, "nonsense")
    assert len(mnist(tmp_path).x_test) == 3


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n"])
def test_byte_order_mark_line_ends_and_blank_lines_do_no_harm(tmp_path, pixels, labels, start, end, tail):
    path = write_csv(tmp_path, start + csv_text(pixels, labels, end) + tail)
    assert_holds(mnist(path, held_out=1), pixels, labels)
    path = write_csv(tmp_path, start + csv_text(pixels, labels, end).rstrip())
    assert_holds(mnist(path, held_out=1), pixels, labels)


ROW = "7" + ",0" * 784


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "train.csv: the header must be label,pixel0,...,pixel783; found '': the file is empty.",
        ),
        (HEADER + "\n", "train.csv: a header, but no images under it."),
        (
            HEADER.removeprefix("label,") + "\n" + ROW,
            "train.csv: there is no label column: this looks like Kaggle's test.csv, which has no labels "
            "to learn from or to test against. Give train.csv.",
        ),
        (
            ROW + "\n" + ROW,
            "train.csv: the header must be label,pixel0,...,pixel783; found '7,0,0,0,0,0,0,0,0,0,'...: "
            "it is missing, the first line holds numbers.",
        ),
        (
            "label,pixel0\n1,2",
            "train.csv: the header must be label,pixel0,...,pixel783; found 'label,pixel0': 2 columns in all.",
        ),
        (
            "PK\3\4",
            "train.csv: the header must be label,pixel0,...,pixel783; found 'PK\\x03\\x04': "
            "this looks like a zip archive: unpack it first.",
        ),
        (
            "\0\0\x08\3",
            "train.csv: the header must be label,pixel0,...,pixel783; found '\\x00\\x00\\x08\\x03': "
            "this looks like an IDX file: give the folder that holds all four.",
        ),
        (f"{HEADER}\n{ROW}\n{ROW},0\n", "train.csv: line 3: 785 values expected, 786 found."),
        (f"{HEADER}\n{ROW}\n\n{ROW[:-2]}\n", "train.csv: line 4: 785 values expected, 784 found."),
        (f"{HEADER}\n{ROW}\n" + "9" * 100_000, "train.csv: line 3: 785 values expected, 1 found."),
        (
            f"{HEADER}\n{ROW}\n7,0,x{ROW[5:]}",
            "train.csv: line 3: pixel1 is 'x'; a whole number in 0..255 is expected.",
        ),
        (f"{HEADER}\n{ROW[:-1]}256", "train.csv: line 2: pixel783 is '256'; a whole number in 0..255 is exp"),
        (
            f"{HEADER}\n{ROW[:-1]}-1",
            "train.csv: line 2: pixel783 is '-1'; a whole number in 0..255 is expect",
        ),
        (f"{HEADER}\n{ROW[:-1]}1.5", "train.csv: line 2: pixel783 is '1.5'; a whole number in 0..255 is exp"),
        (f"{HEADER}\n{ROW[:-1]}", "train.csv: line 2: pixel783 is ''; a whole number in 0..255 is expected."),
        (f"{HEADER}\n{ROW[:-1]}\u0663", "train.csv: line 2: pixel783 is '\\xd9\\xa3'; a whole number"),
        (f"{HEADER}\n{ROW}\n10{ROW[1:]}", "train.csv: line 3: label 10 is outside 0..9."),
        (f"{HEADER}\n{ROW}", "train.csv: held_out=1 of 1 images; at least one must be left on either side."),
    ],
)
def test_each_fault_of_a_csv_is_named(tmp_path, text, message):
    found = error_of(write_csv(tmp_path, text), held_out=1)
    assert found == message if message.endswith(".") else found.startswith(message)


@pytest.mark.parametrize("held_out", [0, -1, 12, 1000])
def test_held_out_leaves_images_on_both_sides(tmp_path, pixels, labels, held_out):
    path = write_csv(tmp_path, csv_text(pixels, labels))
    assert error_of(path, held_out=held_out) == (
        f"train.csv: held_out={held_out:,} of 12 images; at least one must be left on either side."
    )


def test_a_truncated_csv_gz_is_refused(tmp_path, pixels, labels):
    path = write_csv(tmp_path, csv_text(pixels, labels), "train.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    assert error_of(path) == "train.csv.gz: the gzip stream ends early: truncated."


@pytest.mark.parametrize("start", ["", HEADER + "\n"])
def test_a_line_without_an_end_costs_no_memory(tmp_path, start):
    path = write_csv(tmp_path, start + "9" * 20_000_000, "train.csv.gz")
    tracemalloc.start()
    try:
        message = error_of(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message.startswith("train.csv.gz: ")
    assert peak < 2_000_000


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@settings(max_examples=200)
@given(st.data())
def test_random_damage_to_a_csv(scratch, data):
    images = np.random.default_rng(1).integers(0, 256, (3, 28, 28), np.uint8)
    content = bytearray(csv_text(images, [1, 2, 3]).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.one_of(st.integers(0, len(content) - 1), st.integers(len(HEADER), len(HEADER) + 20)))
        content[at] = data.draw(st.one_of(st.sampled_from(b"0123456789,\r\n"), st.integers(0, 255)))
    content = bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    path = write_csv(scratch, content)
    try:
        split = mnist(path, held_out=1)
    except DataError as error:
        message = str(error)
    else:
        lines = [line for line in content.decode("ascii").split("\n")[1:] if line.strip("\r")]
        table = np.array([[int(field) for field in line.split(",")] for line in lines])
        assert_holds(split, table[:, 1:], table[:, 0])
        return
    assert message.startswith("train.csv: ")


# The real thing


@pytest.fixture(scope="module")
def real_mnist():
    default = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "mnist"
    folder = Path(os.environ.get("TINYGRAD_EDU_MNIST", default))
    if not folder.is_dir():
        pytest.skip("MNIST is absent: neither ../shared/data/mnist nor the folder in TINYGRAD_EDU_MNIST exists")
    return folder


def test_real_mnist(real_mnist, tmp_path):
    file = next(real_mnist.glob("train-images*"))
    raw = read_idx(file)
    write_idx(tmp_path / "plain", raw)
    plain = (tmp_path / "plain").read_bytes()
    assert hashlib.md5(plain).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"

    split = mnist(real_mnist, dtype=np.float32, scale=(-0.5, 0.5))
    assert repr(split) == "Split(mnist: 70,000 images of 28x28, 60,000 train, 10,000 test, 10 classes, float32)"
    assert split.t_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert split.t_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(split.t_train).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949
    ]  # fmt: skip
    assert np.bincount(split.t_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert split.x_train.min() == split.x_test.min() == -0.5
    assert split.x_train.max() == split.x_test.max() == 0.5
    np.testing.assert_array_equal(np.rint((split.x_train[:100] + 0.5) * 255), raw[:100].reshape(100, 784))
