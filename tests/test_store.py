"""dn.write and dn.open against the eager verbs, and against Zarr alone."""

import errno
import functools
import itertools
import json
import os
import shutil
import warnings

import numpy as np
import pytest
from store_tools import NETS, ROWS, N, Stop, files, inputs, stopping

import deltanet as dn
from deltanet import _limits
from deltanet._core.xxh64 import Xxh64
from deltanet._store import tasks
from deltanet._store.read import opened

pytestmark = pytest.mark.of_jobs

zarr = pytest.importorskip("zarr", reason="needs zarr")

FORMS = [("factors", "params"), ("dense", "params"), ("dense", "inputs"), ("outputs", "params")]
CLOSE = {np.dtype("float64"): 1e-12, np.dtype("float32"): 1e-5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.zarr"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """name -> (the store of the factors, the Jacobian in memory) of a net, each written once."""

    @functools.cache
    def made(name):
        net, out = NETS[name](), tmp_path_factory.mktemp("stored") / "run.zarr"
        dn.write(out, net, inputs(net), rows=ROWS)
        return dn.open(out), net.jacobian(inputs(net))

    return made


def expected(net, X, form, wrt):
    """The arrays, by the verbs of the net."""
    J, found = net.jacobian(X), {"outputs": net(X)}
    if form == "dense":
        found["jacobian"] = net.jacobian_dense(X) if wrt == "params" else net.input_jacobian(X)
    if form == "factors":
        found |= {f"delta{k}": delta for k, delta in enumerate(J.deltas)}
        found |= {f"input{k}": h for k, h in enumerate(J.inputs)}
    return found


def same(found, wanted):
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    scale = np.abs(wanted).max(initial=1)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE[wanted.dtype] * scale)


# What is written


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("form", "wrt"), FORMS)
def test_a_stranger_reads_the_arrays(path, form, wrt, name):
    """By Zarr alone, with nothing of deltanet."""
    net = NETS[name]()
    X = inputs(net)
    dn.write(path, net, X, form=form, wrt=wrt, rows=ROWS)
    group = zarr.open_group(path, mode="r", zarr_format=3)
    wanted = expected(net, X, form, wrt)
    assert {key for key, _ in group.arrays()} == {*wanted, "done"}
    for key, array in wanted.items():
        same(group[key][:], array)
        assert group[key].chunks[0] == ROWS and group[key].chunks[1:] == array.shape[1:]
        assert np.isnan(group[key].fill_value)  # rows that are not there are not taken for numbers
        assert group[key].metadata.dimension_names[0] == "sample" and group[key].attrs["about"]
    assert group["done"].shape == (13,) and (group["done"][:] != 0).all()
    about = group.attrs["about"]
    assert dn.__version__ in about and "done" in about and str(N) in about
    assert ("delta<k>[s, o, j] * input<k>[s, i]" in about) == (form == "factors")
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        assert (group[f"net/layers.{k}.weight"][:] == W).all()
        assert (f"net/layers.{k}.bias" in group) == (b is not None)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("form", "wrt"), FORMS)
def test_open_gives_arrays_and_the_net_back(path, form, wrt, name):
    net = NETS[name]()
    net.output_names = [f"y{o}" for o in range(net.sizes[-1])]
    X = inputs(net)
    dn.write(path, net, X, form=form, wrt=wrt, rows=ROWS)
    S, wanted = dn.open(path), expected(net, X, form, wrt)
    assert S.net == net and S.net.output_names == net.output_names and S.dtype == net.dtype
    assert len(S) == N and S.finished and S.done.shape == (N,) and S.done.all()
    same(S.outputs[:], wanted["outputs"])
    if form == "factors":
        for k in range(len(net.sizes) - 1):
            same(S.deltas[k][:], wanted[f"delta{k}"])
            same(S.inputs[k][:], wanted[f"input{k}"])
        assert S.shape == net.jacobian(X).shape
    else:
        same(np.asarray(S), wanted["outputs" if form == "outputs" else "jacobian"])
        assert S.array[:].shape == S.shape and S.nbytes == S.array.nbytes
    assert str(path) in repr(S)


@pytest.mark.parametrize("count", [0, 1, 2, ROWS, ROWS + 1])
def test_any_count_of_samples(path, count):
    net = NETS["plain"]()
    X = inputs(net, count)
    dn.write(path, net, X)
    S = dn.open(path)
    assert S.shape == (count, 2, 50) and S.finished
    same(S[:].to_dense(), net.jacobian_dense(X))
    same(S.ggn_diagonal(), net.ggn_diagonal(X))
    same(S.row_norms_squared(), net.row_norms_squared(X))


def kinds(X, tmp_path):
    """The same rows in every kind that X may be."""
    dask = pytest.importorskip("dask.array", reason="needs dask")
    np.save(tmp_path / "a.npy", X[:50])
    np.save(tmp_path / "b.npy", X[50:])
    np.savetxt(tmp_path / "c.csv", X, "%.17g", ",")
    np.save(tmp_path / "d.npy", X)
    held = zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(30, X.shape[1]))
    return {
        "Fortran": np.asfortranarray(X),
        "reversed": X[::-1].copy()[::-1],
        "list": X.tolist(),
        "memory map": np.load(tmp_path / "d.npy", mmap_mode="r"),
        "Zarr": held,
        "Dask": dask.from_array(X, chunks=(40, -1)),
        "path": tmp_path / "d.npy",
        "paths": [str(tmp_path / "a.npy"), tmp_path / "b.npy"],
        "csv": tmp_path / "c.csv",
    }


def test_kinds_of_X_give_the_same_bytes(tmp_path):
    net = NETS["plain"]()
    X = inputs(net)
    dn.write(tmp_path / "plain.zarr", net, X, rows=ROWS)
    wanted = files(tmp_path / "plain.zarr")
    for name, kind in kinds(X, tmp_path).items():
        out = tmp_path / f"{name}.zarr"
        dn.write(out, net, kind, rows=ROWS)
        assert files(out) == wanted, name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bits_do_not_depend_on_the_blocks(tmp_path, dtype):
    """Of nets whose products take other ways for few samples than for many."""
    for sizes, count in (([20, 64, 64, 3], 200), ([300, 60, 300], 40)):
        net = dn.MLP(sizes, dtype=dtype, seed=0)
        X, found = inputs(net, count), []
        for rows in (1, 7, count):
            out = tmp_path / f"{len(sizes)}-{rows}.zarr"
            dn.write(out, net, X, rows=rows)
            S = dn.open(out)
            arrays = [S.outputs[:], *(d[:] for d in S.deltas), *(h[:] for h in S.inputs)]
            found.append([array.tobytes() for array in (*arrays, S.row_norms_squared())])
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("form, wrt", FORMS)
def test_pieces_of_a_block(tmp_path, monkeypatch, form, wrt):
    """A block that is written in pieces, the last one cut, has the bytes of one that is written at once."""
    net = NETS["float32"]()
    X, how = inputs(net, 500), {"form": form, "wrt": wrt, "rows": 300}
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    dn.write(whole, net, X, **how)
    monkeypatch.setattr(_limits, "STORED_PIECE_BYTES", 1)
    layout = opened(whole).layout
    assert layout.piece_rows == 64  # of 300 and of the 200 of the last block: neither is a multiple
    dn.write(pieces, net, X, **how)
    assert files(pieces) == files(whole)
    for block, mark in enumerate(zarr.open_array(pieces / "done", mode="r")[:]):
        total = Xxh64()
        total.update(X[layout.span(block)])
        assert mark == total.intdigest()


def test_a_piece_that_cannot_be_written(path, monkeypatch):
    """The block leaves nothing; the job goes on from the others."""
    net = NETS["plain"]()
    X, append, calls = inputs(net), tasks.append, itertools.count()

    def failing(files, arrays, height):
        if next(calls) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(files, arrays, height)

    monkeypatch.setattr(tasks, "append", failing)
    with pytest.raises(OSError, match=r"No space left.*run\.zarr"):
        dn.write(path, net, X, rows=ROWS, threads=1)
    done = dn.open(path).done
    assert done[: 5 * ROWS].all() and not done[5 * ROWS : 6 * ROWS].any()
    assert not list(path.rglob("*.partial"))
    dn.write(path, net, X, rows=ROWS, resume=True)
    assert dn.open(path).finished


def test_default_rows():
    """A block has 32 to 64 MiB with its rows of X, or all samples; N and the sizes alone decide."""
    from deltanet._store.layout import planned

    for form, wrt in FORMS:
        for sizes in ([10, 20, 20, 1], [784, 512, 10], [1, 1], [3000, 40000, 5000, 30]):
            for count in (0, 1, 1000, 10**10):
                kind = np.dtype("float32")
                layout = planned(form, wrt, sizes, [True] * (len(sizes) - 1), kind, count, None)
                one = layout.block_bytes // layout.rows + sizes[0] * 4
                assert layout.rows >= 2 and layout.rows * layout.blocks >= count
                assert layout.rows * one <= 2**26 or layout.rows == 2
                assert layout.rows * one >= 2**25 or layout.blocks <= 1 or layout.rows == 2


def test_blocks_of_zeros_are_there(path):
    """Zarr leaves chunks of its fill value out; here a chunk that is missing is a fault."""
    net = dn.MLP([3, 4, 2], activation="relu", seed=0)
    net.params[:] = 0
    X = np.zeros((20, 3))
    dn.write(path, net, X, rows=8)
    S = dn.open(path)
    assert S.finished and (S.outputs[:] == 0).all() and (S.deltas[0][:] == 0).all()
    assert all((path / "delta0" / "c" / str(b) / "0" / "0").is_file() for b in range(3))


def test_nan_in_X_stays_with_its_sample(path):
    net = NETS["plain"]()
    X = inputs(net)
    X[:ROWS], X[40] = np.nan, np.inf
    dn.write(path, net, X, rows=ROWS)
    S = dn.open(path)
    assert S.finished and np.isnan(S.outputs[:ROWS]).all()
    assert (np.isnan(S.outputs[:]).any(axis=1) == np.isnan(net(X)).any(axis=1)).all()


# What is read


INDICES = [
    5,
    -1,
    np.int64(17),
    slice(None),
    slice(3, 60),
    slice(-20, None),
    slice(60, 3),
    slice(None, None, 7),
    slice(100, 10, -9),
    slice(40, 40),
    [3, 200, 3, -1],
    [],
    np.arange(N)[::-5],
    np.arange(N) % 3 == 0,
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_samples_by_index(stored, index):
    S, J = stored("masked")
    part = S[index]
    assert type(part) is dn.Jacobian and part.shape == J[index].shape
    same(part.to_dense(), J[index].to_dense())
    same(part.input_jacobian(), J[index].input_jacobian())
    same(part.outputs, J.outputs[index])
    same(S.deltas[1][index], J.deltas[1][index])


@pytest.mark.parametrize(
    "rest",
    [(0,), (slice(None), 2), (slice(1, None), slice(None, None, -1)), (..., -1), (None,)],
    ids=repr,
)
@pytest.mark.parametrize("first", [3, slice(10, 90), slice(50, 2, -3), [1, 100, 7], slice(9, 9)])
def test_an_array_takes_more_than_samples(stored, first, rest):
    S, J = stored("masked")
    A, wanted = S.deltas[1], J.deltas[1]
    same(A[(first, *rest)], wanted[(first, *rest)])
    same(A[..., 1], wanted[..., 1])


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (N, IndexError),
        ([0, -N - 1], IndexError),
        (np.ones(N - 1, bool), IndexError),
        ("a", TypeError),
        (1.5, TypeError),
        ((0, [1]), TypeError),
        ((0, 0, 0, 0), IndexError),
    ],
    ids=repr,
)
def test_wrong_indices(stored, index, error):
    with pytest.raises(error):
        stored("plain")[0].deltas[0][index]


VERBS = {
    "ggn": lambda J: J.ggn(),
    "ggn(H)": lambda J: J.ggn(np.linspace(-1, 1, N)),
    "ggn_diagonal(H)": lambda J: J.ggn_diagonal(hessians(J)),
    "kfac": lambda J: np.concatenate(
        [np.ravel(each) for pair in J.kfac(hessians(J)) for each in pair]
    ),
    "J @ v": lambda J: J @ np.linspace(-1, 1, J.shape[2]),
    "J @ V": lambda J: J.matvec(np.linspace(-1, 1, 3 * J.shape[2]).reshape(-1, 3)),
    "J.T @ u": lambda J: J.T @ np.sin(np.arange(N * J.shape[1])).reshape(N, -1),
    "row_norms_squared": lambda J: J.row_norms_squared(),
    "covariance(1)": lambda J: J.covariance(0.5),
    "covariance(KFAC)": lambda J: J.covariance(J.kfac().damped(0.1).inverse()),
    "covariance(low rank)": lambda J: J.covariance(np.ones((J.shape[2], 2))),
    "input_jacobian": lambda J: J.input_jacobian(),
}


def hessians(J):
    m = J.shape[1]
    A = np.random.default_rng(0).standard_normal((N, m, m))
    return A + A.transpose(0, 2, 1)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("verb", VERBS)
def test_verbs_of_a_stored_jacobian(stored, verb, name):
    S, J = stored(name)
    found, wanted = VERBS[verb](S), VERBS[verb](J)
    scale = np.abs(wanted).max()
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=0, atol=10 * CLOSE[J.dtype] * scale)


def test_progress_of_a_stored_verb(stored):
    told = []
    stored("plain")[0].ggn_diagonal(progress=lambda *done: told.append(done))
    assert told[-1] == (N, N)


# Jobs that end early


@pytest.mark.parametrize(("form", "wrt"), FORMS)
def test_resumed_has_the_same_bytes(tmp_path, form, wrt):
    net = NETS["masked"]()
    X, how = inputs(net), {"form": form, "wrt": wrt, "rows": ROWS}
    dn.write(tmp_path / "whole.zarr", net, X, **how)
    out = tmp_path / "run.zarr"
    for samples in (40, 90, 91):
        with pytest.raises(Stop):
            dn.write(out, net, X, **how, resume=True, progress=stopping(samples))
        S = dn.open(out)
        assert not S.finished and 0 < S.done.sum() < N
        before = {key: (out / key).stat().st_ino for key in files(out) if done_with(S, key)}
        dn.write(
            out, net, X, **how, resume=True, progress=lambda *_: None
        ) if samples == 91 else None
        for key, number in before.items():
            assert (out / key).stat().st_ino == number  # not written again
    assert files(out) == files(tmp_path / "whole.zarr")


def done_with(S, key):
    """Whether a key is a chunk of a block that is finished."""
    name, _, rest = key.partition("/c/")
    return (
        bool(rest) and not name.startswith("net") and bool(S.done[int(rest.split("/")[0]) * ROWS])
    )


def test_an_unfinished_store_gives_no_numbers(path):
    net = NETS["plain"]()
    X = inputs(net)
    with pytest.raises(Stop):
        dn.write(path, net, X, rows=ROWS, progress=stopping(3 * ROWS))
    S = dn.open(path)
    there = np.flatnonzero(S.done)
    same(S[there].to_dense(), net.jacobian_dense(X[there]))
    missing = int(np.flatnonzero(~S.done)[0])
    for read in (
        lambda: S[missing],
        lambda: S[:],
        lambda: S.outputs[missing:],
        lambda: S.deltas[0][[0, missing]],
        lambda: S.ggn_diagonal(),
        lambda: np.asarray(S.inputs[0]),
    ):
        with pytest.raises(RuntimeError, match="not written yet"):
            read()
    dn.write(path, net, X, rows=ROWS, resume=True)
    assert S.finished  # as of now: what was opened before sees it
    same(S[missing].to_dense(), net.jacobian_dense(X[missing]))


def test_progress_counts_what_was_finished(path):
    net = NETS["plain"]()
    X, told = inputs(net), []
    with pytest.raises(Stop):
        dn.write(path, net, X, rows=ROWS, progress=stopping(3 * ROWS))
    done = int(dn.open(path).done.sum())
    dn.write(path, net, X, resume=True, progress=lambda *each: told.append(each))
    assert told[0] == (done, N) and told[-1] == (N, N)


FAULTS = {
    "half a chunk": ("delta0/c/2/0/0", lambda file: file.write_bytes(file.read_bytes()[:100])),
    "an empty chunk": ("outputs/c/2/0", lambda file: file.write_bytes(b"")),
    "a chunk that is gone": ("input1/c/2/0", lambda file: file.unlink()),
    "half an entry": ("done/c/2", lambda file: file.write_bytes(file.read_bytes()[:3])),
    "an empty entry": ("done/c/2", lambda file: file.write_bytes(b"")),
    "no entry": ("done/c/2", lambda file: file.unlink()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_killed_write_leaves_is_written_again(path, fault):
    net = NETS["plain"]()
    X = inputs(net)
    dn.write(path, net, X, rows=ROWS)
    wanted = files(path)
    key, break_it = FAULTS[fault]
    break_it(path / key)
    for leftover in ("done/c/2.0123.5.partial", "done/c/2.4567.0.partial"):
        (path / leftover).write_bytes(b"half")
    S = dn.open(path)
    with pytest.raises((OSError, RuntimeError), match=r"damaged|not written yet"):
        S[2 * ROWS : 3 * ROWS]
    dn.write(path, net, X, rows=ROWS, resume=True)
    assert files(path) == wanted  # without the leftovers


def test_an_existing_path_is_not_touched(path):
    net = NETS["plain"]()
    X = inputs(net)
    dn.write(path, net, X, rows=ROWS)
    wanted = files(path)
    with pytest.raises(FileExistsError, match="resume=True"):
        dn.write(path, net, X, rows=ROWS)
    assert files(path) == wanted


OTHERS = {
    "net": (lambda net, X, how: net.params.__setitem__(0, 9.0), "its net is"),
    "activation": (
        lambda net, X, how: how.update(net=dn.MLP([3, 8, 2], "relu", seed=0)),
        "its net",
    ),
    "sizes": (lambda net, X, how: how.update(net=dn.MLP([3, 9, 2], seed=0)), "its sizes is"),
    "dtype": (lambda net, X, how: how.update(net=net.astype("float32")), "its dtype is 'float64'"),
    "X": (lambda net, X, how: X.__setitem__((20, 1), 0.5), "its rows 16:32 are others"),
    "N": (lambda net, X, how: how.update(X=X[:-1]), "its samples is 203, here it is 202"),
    "form": (lambda net, X, how: how.update(form="outputs"), "its form is 'factors'"),
    "rows": (lambda net, X, how: how.update(rows=8), "its rows is 16, here it is 8"),
}


@pytest.mark.parametrize("how", [{"resume": True}, {"part": (0, 1)}, {"part": (1, 5)}], ids=repr)
@pytest.mark.parametrize("other", OTHERS)
def test_another_job_is_refused(path, other, how):
    net = NETS["plain"]()
    X = inputs(net)
    dn.write(path, net, X, rows=ROWS)
    (path / "done" / "c" / "7").unlink()
    before, given = files(path), {"net": net, "X": X.copy(), "rows": ROWS, **how}
    change, message = OTHERS[other]
    change(net, given["X"], given)
    if other == "X" and how == {"part": (1, 5)}:
        message = "its rows 32:48 are others"
        given["X"][40] = 0
    with pytest.raises(ValueError, match=message) as raised:
        dn.write(path, **given)
    assert str(path) in str(raised.value)
    assert files(path) == before


def edit(path, key, *names, value):
    """Change one entry of a document of Zarr."""
    document = json.loads((path / key / "zarr.json").read_text())
    place = document
    for name in names[:-1]:
        place = place[name]
    place[names[-1]] = value
    (path / key / "zarr.json").write_text(json.dumps(document))


def test_another_version_is_refused(path):
    net = NETS["plain"]()
    dn.write(path, net, inputs(net), rows=ROWS)
    edit(path, "", "attributes", "deltanet", "version", value="0.0.1")
    with pytest.raises(ValueError, match=r"its version is '0\.0\.1'"):
        dn.write(path, net, inputs(net), resume=True)


def test_another_kind_of_machine_warns(path):
    net = NETS["plain"]()
    dn.write(path, net, inputs(net), rows=ROWS)
    edit(path, "", "attributes", "deltanet", "machine", "simd", value="avx1024")
    with pytest.warns(RuntimeWarning, match="simd 'avx1024'"):
        dn.write(path, net, inputs(net), resume=True)


def test_resume_takes_the_rows_of_the_store(path):
    net = NETS["plain"]()
    with pytest.raises(Stop):
        dn.write(path, net, inputs(net), rows=ROWS, progress=stopping(50))
    dn.write(path, net, inputs(net), resume=True)
    assert dn.open(path).finished


# Arguments


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"form": "sparse"}, ValueError, "form must be 'factors' or 'dense' or 'outputs'"),
        ({"wrt": "inputs"}, ValueError, "wrt='inputs' needs form='dense'"),
        ({"wrt": "last"}, ValueError, "wrt must be"),
        ({"rows": 0}, ValueError, "rows must be at least 1; got 0"),
        ({"rows": 2.5}, TypeError, "rows must be an integer"),
        ({"part": 3}, TypeError, r"part must be None or \(i, n\)"),
        ({"part": (4, 4)}, ValueError, "between 0 and n - 1"),
        ({"part": (0, 0)}, ValueError, "n of part"),
        ({"resume": 1}, TypeError, "resume must be True or False"),
        ({"retries": -1}, ValueError, "retries must be at least 0"),
        ({"executor": 4}, TypeError, "executor must have submit"),
        ({"threads": 0}, ValueError, "threads must be a positive integer"),
        ({"X": np.zeros((3, 4))}, ValueError, r"X must have shape \(N, 3\)"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else None,
)
def test_wrong_arguments_leave_nothing(tmp_path, how, error, message):
    net = NETS["plain"]()
    with pytest.raises(error, match=message):
        dn.write(tmp_path / "run.zarr", net, **({"X": inputs(net)} | how))
    assert not list(tmp_path.iterdir())


def test_a_registered_activation_is_refused(path):
    dn.register_activation("cubic", lambda v: v**3, lambda v: 3 * v**2)
    net = dn.MLP([3, 4, 2], "cubic", seed=0)
    with pytest.raises(ValueError, match="holds no Python functions"):
        dn.write(path, net, inputs(net))
    assert not path.exists()


def test_a_net_that_is_not_finite_is_refused(path):
    net = NETS["plain"]()
    net.params[3] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        dn.write(path, net, inputs(net))
    assert not list(path.parent.iterdir())


@pytest.mark.parametrize("resume", [False, True])
def test_what_is_no_store_is_not_touched(tmp_path, resume):
    net = NETS["plain"]()
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    (folder / "thesis.tex").write_text("all")
    file.write_text("all")
    strange = tmp_path / "strange.zarr"
    zarr.create_group(strange)
    for out in (folder, file, strange):
        with pytest.raises(ValueError if resume else FileExistsError, match=out.name):
            dn.write(out, net, inputs(net), resume=resume)
        with pytest.raises(ValueError, match="must be a store that dn"):
            dn.open(out)
    assert (folder / "thesis.tex").read_text() == "all" and os.listdir(folder) == ["thesis.tex"]
    assert file.read_text() == "all" and os.listdir(strange) == ["zarr.json"]


def test_where_nothing_is(tmp_path):
    net = NETS["plain"]()
    with pytest.raises(FileNotFoundError, match="run"):
        dn.open(tmp_path / "run.zarr")
    with pytest.raises(FileNotFoundError, match="must be in a folder that exists"):
        dn.write(tmp_path / "absent" / "run.zarr", net, inputs(net))


def test_a_url(tmp_path):
    """Through fsspec, whose file system in memory stands for that of an object store."""
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec")
    pytest.importorskip("fsspec.implementations.asyn_wrapper", reason="needs fsspec 2024.12")
    net = NETS["masked"]()
    X, url = inputs(net), "memory://bucket/run.zarr"
    memory = fsspec.filesystem("memory")
    with pytest.raises(Stop):
        dn.write(url, net, X, rows=ROWS, progress=stopping(50))
    S = dn.open(url)
    assert not S.finished
    with pytest.raises(RuntimeError, match="not written yet"):
        S[:]
    with pytest.raises(FileExistsError, match="resume=True"):
        dn.write(url, net, X, rows=ROWS)
    dn.write(url, net, X, rows=ROWS, resume=True)
    dn.write(tmp_path / "run.zarr", net, X, rows=ROWS)
    there = {key.partition("run.zarr/")[2]: memory.cat(key) for key in memory.find("/bucket")}
    assert there == files(tmp_path / "run.zarr")
    same(S[7:80].to_dense(), net.jacobian_dense(X[7:80]))
    memory.rm(
        "/bucket/run.zarr/zarr.json"
    )  # as a job leaves it that was killed before this last document
    with pytest.raises(ValueError, match=r"it has no zarr\.json"):
        dn.open(url)
    dn.write(url, net, X, rows=ROWS, part=(0, 1))
    assert dn.open(url).finished
    memory.pipe("/other/thesis.tex", b"all")
    with pytest.raises(ValueError, match="holds other things"):
        dn.write("memory://other", net, X, resume=True)


# Stores from strangers

HOSTILE = {
    "no attributes": ("", ("attributes",), {}),
    "other version": ("", ("attributes", "deltanet", "format_version"), 2),
    "form": ("", ("attributes", "deltanet", "form"), ["factors"]),
    "many samples": ("", ("attributes", "deltanet", "samples"), 10**15),
    "too many samples": ("", ("attributes", "deltanet", "samples"), 10**40),
    "negative rows": ("", ("attributes", "deltanet", "rows"), -1),
    "no rows": ("", ("attributes", "deltanet", "rows"), 0),
    "true rows": ("", ("attributes", "deltanet", "rows"), True),
    "sizes": ("", ("attributes", "deltanet", "sizes"), [3, 2**31 - 1, 2]),
    "few sizes": ("", ("attributes", "deltanet", "sizes"), [3]),
    "zero sizes": ("", ("attributes", "deltanet", "sizes"), [3, 0, 2]),
    "biases": ("", ("attributes", "deltanet", "biases"), [True, False]),
    "dtype": ("", ("attributes", "deltanet", "dtype"), "object"),
    "hash": ("", ("attributes", "deltanet", "net"), "0" * 40),
    "a v2 group": ("", ("zarr_format",), 2),
    "an array": ("", ("node_type",), "array"),
    "shape": ("delta0", ("shape",), [203, 2, 9]),
    "huge shape": ("delta0", ("shape",), [203, 2, 2**60]),
    "data type": ("delta0", ("data_type",), "float32"),
    "chunks": ("input0", ("chunk_grid", "configuration", "chunk_shape"), [203, 3]),
    "keys": ("input0", ("chunk_key_encoding", "configuration", "separator"), "."),
    "codecs": ("outputs", ("codecs",), [{"name": "numcodecs.pickle"}]),
    "byte order": ("outputs", ("codecs", 0, "configuration", "endian"), "big"),
    "fill value": ("outputs", ("fill_value",), 0),
    "done": ("done", ("shape",), [10**12]),
    "net's sizes": ("net", ("attributes", "sizes"), [3, 10**9, 2]),
    "net's activations": ("net", ("attributes", "activations"), ["tanh", "evil"]),
    "net's array": ("net/layers.0.weight", ("shape",), [8, 10**9]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_store_is_refused_when_it_is_opened(path, case):
    net = NETS["plain"]()
    dn.write(path, net, inputs(net), rows=ROWS)
    key, names, value = HOSTILE[case]
    edit(path, key, *names, value=value)
    before = files(path)
    for read in (
        lambda: dn.open(path),
        lambda: dn.write(path, net, inputs(net), rows=ROWS, resume=True),
    ):
        with pytest.raises(ValueError, match=r"run\.zarr"):
            read()
    assert files(path) == before


def test_huge_claims_that_fit_each_other(path):
    """A store that was just begun has no more: nothing of its size is made, or counted through."""
    from deltanet._store.create import create
    from deltanet._store.layout import planned
    from deltanet._store.place import Place

    net = NETS["plain"]()
    layout = planned("factors", "params", net.sizes, [True, True], net.dtype, 10**15, 1)
    create(Place(path), layout, net)
    S = dn.open(path)
    assert len(S) == 10**15 and not S.finished
    for read in (lambda: S[:], lambda: S.done, lambda: np.asarray(S.deltas[0])):
        with pytest.raises(MemoryError):
            read()
    for read in (lambda: S[10**14], lambda: S.ggn_diagonal(), lambda: S.outputs[5:9]):
        with pytest.raises(RuntimeError, match="not written yet"):
            read()


@pytest.mark.parametrize("key", ["zarr.json", "delta0/zarr.json", "net/zarr.json"])
@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"[" * 10**5, b'{"attributes": 3}', b"\xff\xfe", b" " * 2**23]
)
def test_a_broken_document(path, key, text):
    net = NETS["plain"]()
    dn.write(path, net, inputs(net), rows=ROWS)
    (path / key).write_bytes(text)
    with pytest.raises(ValueError, match=r"run\.zarr"):
        dn.open(path)


@pytest.mark.parametrize("size", [0, 100, 10**6])
def test_a_net_of_another_length(path, size):
    net = NETS["plain"]()
    dn.write(path, net, inputs(net), rows=ROWS)
    (path / "net" / "layers.0.weight" / "c" / "0" / "0").write_bytes(bytes(size))
    with pytest.raises(ValueError, match="must have 192 bytes"):
        dn.open(path)


def test_another_net_in_the_store(path):
    net = NETS["plain"]()
    dn.write(path, net, inputs(net), rows=ROWS)
    chunk = path / "net" / "layers.0.weight" / "c" / "0" / "0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    with pytest.raises(ValueError, match="not the one of which it was computed"):
        dn.open(path)


def test_members_by_zarr_without_a_warning(path):
    """Locks lie where no reader looks for arrays: it would warn of what is none."""
    net = NETS["plain"]()
    dn.write(path, net, inputs(net), part=(0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = {name for name, _ in zarr.open_group(path, mode="r").members()}
    assert names == {"outputs", "delta0", "delta1", "input0", "input1", "done", "net"}
    shutil.rmtree(path)
