"""read_idx and write_idx: the round trip, every way a file can be wrong, and random damage."""

import gzip
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_edu.data import DataError, read_idx, write_idx

TYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]

arrays = st.sampled_from(TYPES).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def read_bytes(content, name="file"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return read_idx(path)


def idx_bytes(array, name="file"):
    with tempfile.TemporaryDirectory() as folder:
        write_idx(Path(folder, name), array)
        return Path(folder, name).read_bytes()


def pack(content):
    return gzip.compress(content, mtime=0)  # without the time, which would get into the names of tests


def error_of(content, name="file"):
    with pytest.raises(DataError) as raised:
        read_bytes(content, name)
    return str(raised.value)


@given(arrays, st.sampled_from(["file", "file.gz"]), st.sampled_from("<>"), st.booleans())
def test_round_trip(array, name, byte_order, fortran):
    stored = np.asarray(array, array.dtype.newbyteorder(byte_order), order="F" if fortran else "C")
    content = idx_bytes(stored, name)
    assert content.startswith(b"\x1f\x8b") == name.endswith(".gz")
    back = read_bytes(content, name)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    assert back.shape == array.shape
    assert back.flags.writeable
    assert back.flags.c_contiguous
    assert back.tobytes() == array.tobytes()  # bit for bit: NaNs and negative zeros too


@pytest.mark.parametrize(
    ("code", "data", "expected"),
    [
        ("08", "ff 01", np.array([255, 1], np.uint8)),
        ("09", "ff 01", np.array([-1, 1], np.int8)),
        ("0b", "01 02 ff fe", np.array([258, -2], np.int16)),
        ("0c", "00 01 00 00 ff ff ff ff", np.array([65536, -1], np.int32)),
        ("0d", "3f 80 00 00 c0 20 00 00", np.array([1.0, -2.5], np.float32)),
        ("0e", "3f f0 00 00 00 00 00 00 c0 04 00 00 00 00 00 00", np.array([1.0, -2.5])),
    ],
)
def test_each_element_type_is_big_endian(code, data, expected):
    content = bytes.fromhex(f"00 00 {code} 01 00 00 00 02 {data}")
    found = read_bytes(content)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert idx_bytes(expected) == content


def test_last_index_varies_fastest():
    content = bytes.fromhex("00 00 08 02 00 00 00 02 00 00 00 03 01 02 03 04 05 06")
    assert read_bytes(content).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_the_content_says_whether_it_is_gzip_not_the_name():
    array = np.arange(3, dtype=np.int8)
    plain = idx_bytes(array)
    assert read_bytes(plain, "unpacked.gz").tolist() == [0, 1, 2]
    assert read_bytes(gzip.compress(plain), "packed").tolist() == [0, 1, 2]


def test_same_array_same_gzip_file():
    packed = idx_bytes(np.arange(9, dtype=np.int16), "a.gz")
    assert packed == idx_bytes(np.arange(9, dtype=np.int16), "b.gz")
    assert packed[4:8] == bytes(4)  # the time stamp


def test_truncated_images_are_counted_as_images():
    content = idx_bytes(np.zeros((6000, 28, 28), np.uint8))[: 16 + 1_000_000]
    assert error_of(content, "train-images-idx3-ubyte") == (
        "train-images-idx3-ubyte: 4,704,000 bytes expected for 6,000 images of 28x28, 1,000,000 found: truncated."
    )


def test_truncated_gzip_counts_what_came_before_the_cut():
    noise = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    packed = idx_bytes(noise, "x.gz")
    message = error_of(packed[: len(packed) // 2], "images.gz")
    assert message.startswith("images.gz: 47,040 bytes expected for 60 images of 28x28, ")
    assert message.endswith(" found: truncated.")
    found = int(message.split(", ")[-1].split()[0].replace(",", ""))
    assert 20_000 < found < 25_000


LABELS = idx_bytes(np.arange(5, dtype=np.uint8))
PACKED = pack(LABELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f: an IDX file begins with 00 00; found nothing: the file is empty."),
        (b"label,pixel0\n", "f: an IDX file begins with 00 00; found 6c 61 62 65: this looks like text"),
        (b"<html>", "this looks like a web page: did the download fail?"),
        (b"PK\3\4....", "this looks like a zip archive: unpack it first."),
        (pack(PACKED), "found 1f 8b 08 00: this looks like gzip inside gzip."),
        (b"\3\1\0\0", "found 03 01 00 00: this is some other format."),
        (LABELS[:3], "f: a header of 4 bytes expected, 3 found: truncated."),
        (LABELS[:7], "f: 1 sizes of 4 bytes expected, 3 bytes found: truncated."),
        (LABELS[:-2], "f: 5 bytes expected for 5 labels, 3 found: truncated."),
        (LABELS + b"\0", "f: 5 bytes expected for 5 labels, more follow: the header is wrong, or"),
        (pack(LABELS + b"\0"), "f: 5 bytes expected for 5 labels, more follow: the header is wrong"),
        (b"\0\0\x0a" + LABELS[3:], "f: element type 0x0a is not one of IDX's (0x08, 0x09, 0x0b, 0x0c, 0x0d,"),
        (idx_bytes(np.zeros((2, 3)))[:-1], "48 bytes expected for float64 of shape (2, 3), 47 found: trunc"),
        (PACKED[:-1], "f: the gzip stream ends early: truncated."),
        (PACKED[:-8] + bytes(8), "f: the gzip stream is corrupt (CRC check failed"),
        (PACKED + b"garbage", "f: the gzip stream is corrupt (Not a gzipped file"),
        (PACKED[:10] + b"\xff" * 20, "f: the gzip stream is corrupt (Error -3 while decompressing"),
        (b"\0\0\x08\x46" + b"\0\0\0\1" * 70 + b"\0", "f: NumPy cannot hold uint8 of shape (1, 1,"),
        (
            b"\0\0\x08\x04" + b"\xff\xff\xff\xff" * 3 + b"\0\0\0\0",
            "f: NumPy cannot hold uint8 of shape (42949",
        ),
    ],
)
def test_each_fault_is_named(content, message):
    assert message in error_of(content, "f")


@pytest.mark.parametrize("packed_or_not", [bytes, pack])
def test_a_lying_header_is_an_error_and_costs_no_memory(packed_or_not):
    content = packed_or_not(bytes.fromhex("00 00 08 02 00 0f 42 40 00 0f 42 40") + b"only this")
    tracemalloc.start()
    try:
        message = error_of(content, "f")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message == ("f: 1,000,000,000,000 bytes expected for uint8 of shape (1000000, 1000000), 9 found: truncated.")
    assert peak < 4_000_000


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.gz: No such file or directory\.$"):
        read_idx(tmp_path / "nowhere.gz")
    with pytest.raises(DataError, match="Is a directory"):
        read_idx(tmp_path)


@pytest.mark.parametrize("dtype", ["int64", "uint16", "bool", "float16", "complex64", "U3", "O"])
def test_write_idx_converts_nothing_silently(tmp_path, dtype):
    with pytest.raises(DataError, match=r"IDX has no element type for .*convert to one of uint8, int8, int16"):
        write_idx(tmp_path / "x", np.zeros(3, dtype))
    assert not (tmp_path / "x").exists()


def test_write_idx_refuses_a_size_beyond_32_bits(tmp_path):
    with pytest.raises(DataError, match="a size of IDX has 32 bits"):
        write_idx(tmp_path / "x", np.broadcast_to(np.zeros(0, np.uint8), (2**32, 0)))


def assert_read_exactly_or_refused(content):
    """An accepted file must be, byte for byte, what write_idx would write for the array that was read."""
    try:
        array = read_bytes(content)
    except DataError as error:
        message = str(error)
    else:
        plain = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        assert idx_bytes(array) == plain
        return
    assert message.startswith("file: ")


@settings(max_examples=300)
@given(arrays, st.booleans(), st.data())
def test_random_damage_never_gives_anything_but_a_true_array_or_a_data_error(array, packed, data):
    content = bytearray(idx_bytes(array, "x.gz" if packed else "x"))
    header = len(content) if packed else 4 + 4 * array.ndim
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, header - 1))] ^= data.draw(st.integers(1, 255))
    keep = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    assert_read_exactly_or_refused(bytes(content[:keep]) + data.draw(st.binary(max_size=2)))


@given(st.binary(max_size=60))
def test_random_bytes_behind_a_plausible_start(tail):
    assert_read_exactly_or_refused(b"\0\0" + tail)
    assert_read_exactly_or_refused(b"\x1f\x8b\x08" + tail)
