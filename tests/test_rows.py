"""Rows of any kind: the same numbers, the same hash, and no numbers in a pickle but those of arrays."""

import pickle

import numpy as np
import pytest

from deltanet._core.xxh64 import Xxh64
from deltanet._rows import rows

N, WIDTH = 1000, 7
F8 = np.dtype("float64")


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).standard_normal((N, WIDTH))


@pytest.fixture(scope="module")
def path(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "table.npy"
    np.save(path, table)
    return path


def mapped(path, mode="r"):
    return np.load(path, mmap_mode=mode)


def zarr_array(table, tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "z", shape=table.shape, chunks=(90, 7), dtype="f8")
    array[:] = table
    return array


def dask_array(table, tmp_path):
    return pytest.importorskip("dask.array").from_zarr(zarr_array(table, tmp_path))


# name -> (what is given for X, which of the table's rows it is, whether a pickle is without the numbers)
KINDS = {
    "array": (lambda t, p, d: t, lambda t: t, False),
    "Fortran order": (lambda t, p, d: np.asfortranarray(t), lambda t: t, False),
    "lists": (lambda t, p, d: t.tolist(), lambda t: t, False),
    "memory map": (lambda t, p, d: mapped(p), lambda t: t, True),
    "writable memory map": (lambda t, p, d: mapped(p, "r+"), lambda t: t, True),
    "rows of a memory map": (lambda t, p, d: mapped(p)[3:500:2], lambda t: t[3:500:2], True),
    "a memory map backwards": (lambda t, p, d: mapped(p)[::-1], lambda t: t[::-1], True),
    "columns of a memory map": (lambda t, p, d: mapped(p)[5:, 1:4], lambda t: t[5:, 1:4], True),
    "a private memory map": (lambda t, p, d: mapped(p, "c"), lambda t: t, False),
    "path": (lambda t, p, d: p, lambda t: t, True),
    "text of a path": (lambda t, p, d: str(p), lambda t: t, True),
    "paths": (lambda t, p, d: [p, str(p)], lambda t: np.concatenate([t, t]), True),
    "Zarr array": (lambda t, p, d: zarr_array(t, d), lambda t: t, True),
    "Dask array": (lambda t, p, d: dask_array(t, d), lambda t: t, True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_the_table(kind, table, path, tmp_path):
    given, expected, lean = KINDS[kind]
    X, right = given(table, path, tmp_path), expected(table)
    found = rows(X, right.shape[1:], F8)
    assert found.shape == right.shape and len(found) == len(right)
    assert (len(pickle.dumps(found)) < 8000) == lean
    for each in (found, pickle.loads(pickle.dumps(found))):
        for start, stop in ((0, len(right)), (0, 0), (13, 77), (len(right) - 1, len(right))):
            part = each[start:stop]
            assert part.flags.c_contiguous and part.dtype == F8
            assert np.array_equal(part, right[start:stop])
            some = pickle.loads(pickle.dumps(each.some(start, stop)))
            assert np.array_equal(some[0 : len(some)], part)
    in_memory = rows(np.ascontiguousarray(right), right.shape[1:], F8)
    assert found.fingerprint(3, 200) == in_memory.fingerprint(3, 200)
    assert found.fingerprint(3, 200) == found.some(1, 210).fingerprint(2, 199)
    assert found.fingerprint(3, 200) != found.fingerprint(3, 201)


def test_a_private_change_of_a_map_is_seen(path, table):
    X = mapped(path, "c")
    X[3] = 0
    assert not rows(X, (WIDTH,), F8)[3:4].any()


def test_the_hash_is_of_the_numbers_as_they_are_used(table):
    single = table.astype("float32")
    assert (
        rows(single, (WIDTH,), F8).fingerprint(0, N)
        == rows(single.astype("f8"), (WIDTH,), F8).fingerprint(0, N)
        != rows(table, (WIDTH,), F8).fingerprint(0, N)
    )


def test_one_entry_a_sample(table):
    assert np.array_equal(rows(table[:, 0], (), F8, "H")[5:9], table[5:9, 0])


def nothing_known(tmp_path):
    da = pytest.importorskip("dask.array")
    X = da.ones((10, 2), chunks=(5, 2))
    return X[X[:, 0] > 0]


REFUSED = {
    "another width": (lambda d: np.ones((3, 2)), r"X must have shape \(N, 7\); got \(3, 2\)"),
    "one sample": (lambda d: np.ones(7), r"X must have shape \(N, 7\); got \(7,\)"),
    "text": (lambda d: np.array([["a"] * 7]), "X must hold real numbers"),
    "no such file": (lambda d: d / "absent.npy", "absent.npy"),
    "unknown chunks": (nothing_known, "compute_chunk_sizes"),
    "a URL": (lambda d: "s3://bucket/x.npy", "got 's3://bucket/x.npy': open it with Zarr or Dask"),
    "a URL among files": (lambda d: [d / "x.npy", "file:///x.npy"], "got 'file:///x.npy'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, tmp_path):
    given, message = REFUSED[kind]
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        rows(given(tmp_path), (WIDTH,), F8)


def test_files_are_of_samples_alone(path):
    with pytest.raises(TypeError, match="H must be an array; got 1 files"):
        rows(path, (), F8, "H")


def test_a_file_that_was_cut_short(table, tmp_path):
    path = tmp_path / "table.npy"
    np.save(path, table)
    found = pickle.dumps(rows(path, (WIDTH,), F8))
    np.save(path, table[:500])
    with pytest.raises(ValueError, match=r"table\.npy: it holds 28128 bytes: fewer than"):
        pickle.loads(found)[400:600]


# text -> its XXH64, as the command xxhsum gives it
HASHES = {
    "": "ef46db3751d8e999",
    "a": "d24ec4f1a98c6e5b",
    "abc": "44bc2cf5ad770999",
    "Nobody inspects the spammish repetition": "fbcea83c8a378bf1",
}


@pytest.mark.parametrize("text", HASHES)
def test_the_hash_is_xxh64(text):
    found = Xxh64()
    found.update(np.frombuffer(text.encode(), np.uint8))
    assert found.digest().hex() == HASHES[text]
    assert found.intdigest() == int(HASHES[text], 16)


def test_the_hash_of_parts_is_that_of_the_whole():
    numbers = np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)
    whole = Xxh64()
    whole.update(numbers)
    for seed in range(200):
        parts = Xxh64()
        for part in np.split(numbers, np.sort(np.random.default_rng(seed).integers(0, 500, 20))):
            parts.update(part)
        assert parts.digest() == whole.digest()
