"""Promise: files of every kind are read, bad ones refused in one line; values per sample are written whole or not at all."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from evaluations import baseline, bits, classes, peak_memory

import fastloss as fl

# -- Files -----------------------------------------------------------------------------------------


def npy_header(shape, descr="'<f8'", fortran="False", version=1):
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    size = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + b"\n"


def bad_files():
    """name -> (bytes, what the message says)."""
    data = np.zeros(5).tobytes()
    pickled = npy_header((5,), "'|O'") + pickle.dumps([1] * 5)
    return {
        "truncated": (npy_header((5,)) + data[:-1], "expected 40 bytes for float64.*got 39"),
        "trailing": (npy_header((5,)) + data + b"\0", "expected 40 bytes for float64.*got 41"),
        "lying": (npy_header((10**30,)) + data, "expected 8000000000"),
        "overflowing": (npy_header((2**40, 2**40)) + data, "expected 9671406556917033397649408 by"),
        "negative": (npy_header((-5,)) + data, "expected a shape, got"),
        "pickled": (pickled, "pickled Python objects"),
        "records": (npy_header((5,), "[('a', '<f8')]") + data, "records with fields"),
        "raw": (npy_header((5,), "'|V8'") + data, "raw bytes"),
        "magic": (b"\x94NUMPY\x01\0" + data, "magic"),
        "version": (npy_header((5,), version=9) + data, "version"),
        "empty": (b"", "EOF"),
        "short header": (npy_header((5,))[:20], "EOF"),
        "endless header": (b"\x93NUMPY\x02\0\xff\xff\xff\xff" + b" " * 100, "EOF"),
        "code": (npy_header("__import__('os').getpid()") + data, "expected a .npy array"),
        "dtype": (npy_header((5,), "'nonsense'") + data, "expected a .npy array"),
        "zip": (b"PK\x03\x04" + b"\0" * 50, "expected a .npz file"),
        "text": (b"1.0,2.0\n", "expected a .npy array"),
    }


BAD_FILES = bad_files()


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(name, tmp_path):
    content, text = BAD_FILES[name]
    path = tmp_path / "prediction.npy"
    path.write_bytes(content)
    with pytest.raises((ValueError, TypeError), match=text) as caught:
        fl.evaluate("mse", prediction=path, target=np.zeros(5))
    assert "prediction: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize(("path", "text"), [("missing.npy", "none there"), (".", "a directory")])
def test_what_is_no_file(path, text, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"prediction: .*got {text}"):
        fl.evaluate("mse", prediction=tmp_path / path, target=np.zeros(5))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", ">i4", "u1", "?"])
@pytest.mark.parametrize("stored", ["npy", "npz", "compressed"])
def test_all_headers_and_byte_orders(version, dtype, stored, tmp_path):
    array = (np.arange(1000) % 2).astype(dtype)
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version)
    if stored != "npy":
        kind = zipfile.ZIP_STORED if stored == "npz" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(tmp_path / "x.npz", "w", kind) as archive:
            archive.write(path, "odd.npy")  # the data of a stored one is not aligned
        path = tmp_path / "x.npz"
    result = fl.evaluate("mse", prediction=path, target=np.zeros(1000), max_memory=5000)
    assert result["mse"].mean == 0.5


def test_npz_keys(tmp_path):
    x = np.arange(5.0)
    np.savez(tmp_path / "one.npz", whatever=x)
    np.savez(tmp_path / "named.npz", prediction=x, other=x + 1)
    np.savez_compressed(tmp_path / "two.npz", a=x, b=x + 1)
    for source in ("one.npz", "named.npz", "two.npz:a"):
        path = f"{tmp_path}/{source}"
        assert fl.evaluate("mae", prediction=path, target=np.zeros(5))["mae"].mean == 2.0
    for source in ("two.npz", "two.npz:c"):
        with pytest.raises(ValueError, match="expected one of the keys a, b"):
            fl.evaluate("mae", prediction=f"{tmp_path}/{source}", target=np.zeros(5))


def spoil(path, at, byte=b"\xff"):
    content = bytearray(path.read_bytes())
    content[at : at + len(byte)] = byte
    path.write_bytes(content)


def test_bad_archives(tmp_path):
    path = tmp_path / "x.npz"
    x = np.random.default_rng(0).standard_normal(5000)

    def refused(text):
        with pytest.raises(ValueError, match=f"prediction: .*{text}") as caught:
            fl.evaluate("mse", prediction=path, target=np.zeros(5000))
        assert "\n" not in str(caught.value)

    np.savez_compressed(path, x=x)
    spoil(path, 20_000, b"\xff" * 50)
    refused("expected a .npz file")
    np.savez_compressed(path, x=x)
    path.write_bytes(path.read_bytes()[:-100])
    refused("expected a .npz file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array")
    refused("expected a .npy array")
    with zipfile.ZipFile(path, "w"):
        pass
    refused(r"expected one of the keys \(none\)")
    np.savez_compressed(path, x=np.array([{}] * 5000, object))
    refused("pickled")


def test_a_zip_bomb_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "x.npz"
    zeros = bytes(1 << 20)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy_header((200 << 17, 1)))
        for _ in range(200):
            member.write(zeros)
    assert path.stat().st_size < 1 << 20
    assert (
        peak_memory(f"fl.evaluate('mse', prediction={str(path)!r}, target=0.0, max_memory='8MB')['mse'].sum") < baseline() + 60e6
    )


def test_a_bomb_that_lies_about_its_size(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy_header((10**15,)) + bytes(8000))
    with pytest.raises(ValueError, match="expected 8000000000000000 bytes"):
        fl.evaluate("mse", prediction=path, target=0.0)


def test_bfloat16_from_raw_bytes(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    logits, target = classes(dtype=ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", logits)
    np.savez_compressed(tmp_path / "x.npz", logits)
    assert np.load(tmp_path / "x.npy").dtype == np.dtype("V2")
    whole = fl.evaluate("cross_entropy", logits=logits, target=target)
    with ThreadPoolExecutor(1) as executor:
        for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
            for ex in (None, executor):
                given = {"logits": path, "target": target, "executor": ex}
                with pytest.raises(TypeError, match="logits_dtype='bfloat16'"):
                    fl.evaluate("cross_entropy", **given)
                got = fl.evaluate("cross_entropy", **given, logits_dtype="bfloat16")
                assert bits(got) == bits(whole)


def test_zero_dimensional_files(tmp_path):
    np.save(tmp_path / "x.npy", np.array(3.0))
    np.savez_compressed(tmp_path / "y.npz", np.array(1.0))
    result = fl.evaluate("mse", prediction=tmp_path / "x.npy", target=tmp_path / "y.npz")
    assert result["mse"].mean == 4.0
    many = fl.evaluate("mse", prediction=np.full(9, 2.0), target=tmp_path / "y.npz")
    assert many["mse"].mean == 1.0


def test_float_labels_are_refused(tmp_path):
    logits, target = classes()
    np.save(tmp_path / "t.npy", target.astype(float))
    with pytest.raises((ValueError, TypeError), match="cross_entropy: target: expected"):
        fl.evaluate("cross_entropy", logits=logits, target=tmp_path / "t.npy")


def test_changes_in_a_copy_on_write_map_are_seen_and_kept(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(100_000))
    x = np.load(tmp_path / "x.npy", mmap_mode="c")
    x[:] = 2.0
    for _ in range(2):
        assert fl.evaluate("mse", prediction=x, target=0.0, max_memory="64kB")["mse"].mean == 4.0
    assert x.sum() == 200_000


def test_slices_of_maps(tmp_path):
    x = np.random.default_rng(0).standard_normal((1000, 50))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    for part in (np.s_[100:900], np.s_[::-3], np.s_[:, 7], np.s_[5:, ::-1]):
        got = fl.evaluate("mse", prediction=mapped[part], target=0.0, max_memory="30kB")
        assert got["mse"] == fl.evaluate("mse", prediction=x[part], target=0.0)["mse"]


def test_a_file_that_is_not_cached(tmp_path):
    x = np.random.default_rng(0).standard_normal((2000, 100))
    np.save(tmp_path / "x.npy", x)
    if hasattr(os, "posix_fadvise"):
        with (tmp_path / "x.npy").open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    got = fl.evaluate("mse", prediction=tmp_path / "x.npy", target=0.0, max_memory="100kB")
    assert got["mse"] == fl.evaluate("mse", prediction=x, target=0.0)["mse"]


def test_an_unusable_argument_leaves_no_unfinished_file(tmp_path):
    for wrong in ({"threads": 0}, {"max_memory": "x"}, {"worst": -1}, {"target": np.zeros(4)}):
        given = {"prediction": np.zeros(3), "target": 0.0} | wrong
        with pytest.raises(ValueError, match="expected"):
            fl.evaluate("mse", **given, per_sample=tmp_path / "out.npy")
        assert os.listdir(tmp_path) == []


def test_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    logits, target = classes()
    result = fl.evaluate("cross_entropy", logits=torch.from_numpy(logits), target=torch.from_numpy(target))
    assert bits(result) == bits(fl.evaluate("cross_entropy", logits=logits, target=target))


# -- Per-sample output -----------------------------------------------------------------------------


def test_several_losses_write_records(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 100, 3))
    out = tmp_path / "out.npy"
    fl.evaluate(["mse", "mae"], prediction=x, target=y, per_sample=out, max_memory=2000)
    written = np.load(out)
    assert written.dtype.names == ("mse", "mae")
    np.testing.assert_allclose(written["mae"], np.abs(x - y))
    np.testing.assert_allclose(written["mse"], (x - y) ** 2)


def test_output_into_an_array():
    x = np.arange(10.0)
    out = np.zeros(10, np.float32)
    fl.evaluate("mae", prediction=x, target=np.zeros(10), per_sample=out, max_memory=100)
    assert out.tolist() == x.tolist()
    records = np.zeros(10, [("mae", float), ("mse", float)])
    fl.evaluate(["mae", "mse"], prediction=x, target=0.0, per_sample=records, max_memory=300)
    assert records["mse"].tolist() == (x * x).tolist()
    for shape in (9, 11, (10, 2)):
        with pytest.raises(ValueError, match="per_sample: expected"):
            fl.evaluate("mae", prediction=x, target=0.0, per_sample=np.zeros(shape))


def test_losses_of_different_shapes_do_not_share_a_file(tmp_path):
    logits, target = classes(10)
    with pytest.raises(ValueError, match=r"per_sample: .*\(10,\) and \(10, 7\)"):
        fl.evaluate(
            ["cross_entropy", "binary_cross_entropy_with_logits"],
            logits=logits,
            target=np.eye(7)[target],
            per_sample=tmp_path / "out.npy",
        )
    assert os.listdir(tmp_path) == []


def test_a_failed_run_leaves_the_old_file(tmp_path):
    out = tmp_path / "out.npy"
    out.write_bytes(b"precious")
    logits, target = classes()
    target[900] = 50
    with pytest.raises(IndexError):
        fl.evaluate("cross_entropy", logits=logits, target=target, per_sample=out, max_memory=9000)
    assert out.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["out.npy"]


def test_an_input_is_never_overwritten(tmp_path):
    x = tmp_path / "x.npy"
    np.save(x, np.zeros(5))
    np.savez(tmp_path / "y.npz", np.zeros(5))
    (tmp_path / "link.npy").symlink_to(x)
    before = x.read_bytes()
    sources = (x, np.load(x, mmap_mode="r"), np.load(x, mmap_mode="r")[1:])
    for source in sources:
        for name in ("per_sample", "checkpoint"):
            for path in (x, tmp_path / "link.npy"):
                with pytest.raises(ValueError, match=f"{name}: expected another file"):
                    fl.evaluate("mse", prediction=source, target=0.0, **{name: path})
    with pytest.raises(ValueError, match="expected another file"):
        fl.evaluate("mse", prediction=tmp_path / "y.npz", target=x, per_sample=tmp_path / "y.npz")
    assert x.read_bytes() == before


@pytest.mark.parametrize("path", ["/dev/null", "."])
def test_only_files_are_written(path):
    with pytest.raises(ValueError, match="per_sample: expected a file"):
        fl.evaluate("mse", prediction=np.zeros(3), target=0.0, per_sample=path)
    assert not Path("/dev/null").is_file()
