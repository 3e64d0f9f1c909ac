"""Tables in files: every block of rows against the array that the file was made of."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deltanet as dn
from deltanet import _rows
from deltanet._io import table_csv
from deltanet._io.table import open_table, open_tables

N = 53
X = np.random.default_rng(0).standard_normal((N, 3))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Indices and chunks so short that a few rows pass all their ends."""
    monkeypatch.setattr(table_csv, "INDEXED_ROWS", 4)
    monkeypatch.setattr(table_csv, "CHUNK", 97)


def write_csv(name, rows=X, header="a,b,c", end="\n"):
    lines = [header] * bool(header) + [",".join(map(repr, row)) for row in rows.tolist()]
    Path(name).write_bytes("".join(line + end for line in lines).encode())


def arrow_table(numbers=X, **more):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra deltanet[parquet]")
    return pyarrow.table({"a": numbers[:, 0], "b": numbers[:, 1], "c": numbers[:, 2], **more})


def write_parquet(name, table=None, rows=7):
    table = arrow_table() if table is None else table
    from pyarrow import parquet

    parquet.write_table(table, name, row_group_size=rows)


def write_feather(name, table=None):
    table = arrow_table() if table is None else table
    from pyarrow import feather

    feather.write_feather(table, name, chunksize=11)


def write_zarr(name, numbers=X):
    zarr = pytest.importorskip("zarr", reason="needs the extra deltanet[zarr]")
    zarr.create_array(name, shape=numbers.shape, chunks=(5, 2), dtype=numbers.dtype)[:] = numbers


KINDS = {  # name of the file -> what writes X into it
    "x.csv": write_csv,
    "bare.csv": lambda name: write_csv(name, header=""),
    "crlf.csv": lambda name: write_csv(name, end="\r\n"),
    "cr.csv": lambda name: write_csv(name, end="\r"),
    "x.npy": lambda name: np.save(name, X),
    "fortran.npy": lambda name: np.save(name, np.asfortranarray(X)),
    "x.npz": lambda name: np.savez(name, X),
    "x.parquet": write_parquet,
    "x.arrow": write_feather,
    "x.feather": write_feather,
    "x.zarr": write_zarr,
}
BLOCKS = [
    (0, N),
    (0, 1),
    (3, 4),
    (4, 8),
    (3, 9),
    (6, 29),
    (50, N),
    (52, 99),
    (9, 9),
    (N, N),
    (7, 2),
]


@pytest.mark.parametrize("name", KINDS)
def test_blocks_of_rows(name):
    KINDS[name](name)
    table = open_table(name, 3)
    assert len(table) == N and table.shape == (N, 3) and table.width == 3
    assert table.dtype == np.float64
    for each in (table, pickle.loads(pickle.dumps(table))):
        for a, b in BLOCKS:
            np.testing.assert_array_equal(each[a:b], X[a:b])
    np.testing.assert_array_equal(table[:], X)
    np.testing.assert_array_equal(table[-5:-2], X[-5:-2])
    with pytest.raises(IndexError, match="without steps"):
        table[::2]


@pytest.mark.parametrize("name", KINDS)
def test_a_pickle_holds_no_numbers(name):
    KINDS[name](name)
    assert len(pickle.dumps(open_table(name, 3))) < X.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="/proc lists the open files")
@pytest.mark.parametrize("name", [name for name in KINDS if name != "x.npz"])
def test_no_file_stays_open(name):
    KINDS[name](name)
    table = open_table(name, 3)
    table[2:9]  # what packages open for themselves
    before = os.listdir("/proc/self/fd")
    table[1:30], table[20:40]
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("name", KINDS)
def test_columns_by_number(name):
    KINDS[name](name)
    table = open_table(name, 2, columns=["2", "0"])
    np.testing.assert_array_equal(table[5:33], X[5:33, [2, 0]])


NAMED = ["x.csv", "crlf.csv", "x.parquet", "x.arrow"]


@pytest.mark.parametrize("name", NAMED)
def test_columns_by_name(name):
    KINDS[name](name)
    table = open_table(name, 2, columns=["c", "0"])
    assert table.names == ("c", "a")
    np.testing.assert_array_equal(table[5:33], X[5:33, [2, 0]])
    with pytest.raises(ValueError, match=rf"{name}: it has no column 'd': its columns are a, b, c"):
        open_table(name, 1, columns=["d"])
    with pytest.raises(ValueError, match="no column '3'"):
        open_table(name, 1, columns=["3"])


def test_a_name_goes_before_a_number():
    write_csv("x.csv", header="2,1,0")
    table = open_table("x.csv", 2, columns=["2", "1"], header=True)
    np.testing.assert_array_equal(table[:], X[:, :2])
    write_csv("x.csv", header="a,b,a")
    with pytest.raises(ValueError, match="2 columns of the name 'a'"):
        open_table("x.csv", 1, columns=["a"])
    np.testing.assert_array_equal(open_table("x.csv", 1, columns=["2"])[:], X[:, 2:])


def test_other_columns_may_hold_anything():
    lines = ['run,"x, left",note,y', '1,2.5,"a, b",3', '2,4,",",5', "3,6,,7"]
    Path("x.csv").write_text("\n".join(lines))
    wanted = [[3, 2.5], [5, 4], [7, 6]]
    for columns in (["y", "1"], ["3", "1"], ["y", "1"]):
        np.testing.assert_array_equal(open_table("x.csv", 2, columns=columns)[:], wanted)
    write_parquet("x.parquet", arrow_table(name=["x"] * N, flag=[True] * N))
    np.testing.assert_array_equal(open_table("x.parquet", 2, columns=["b", "a"])[:], X[:, [1, 0]])
    with pytest.raises(ValueError, match="'name' holds string"):
        open_table("x.parquet", 2, columns=["a", "name"])
    with pytest.raises(ValueError, match=r"\(N, 3\); got 5 columns; choose 3 by --columns"):
        open_table("x.parquet", 3)


def test_dtypes():
    np.save("x.npy", X.astype("f4"))
    assert open_table("x.npy", 3)[1:2].dtype == np.float32
    write_parquet("x.parquet", arrow_table(X.astype("f4")))
    assert open_table("x.parquet", 3)[:].dtype == np.float32
    pyarrow = pytest.importorskip("pyarrow")
    mixed = pyarrow.table({"a": X[:, 0].astype("f4"), "b": np.arange(N), "c": X[:, 2]})
    write_parquet("mixed.parquet", mixed)
    expected = np.column_stack([X[:, 0].astype("f4"), np.arange(N), X[:, 2]])
    np.testing.assert_array_equal(open_table("mixed.parquet", 3)[:], expected)


# Lines of a .csv


def lines_of(seed):
    """Rows among empty lines, comments and spaces, with any ends of lines; and the numbers."""
    draw = random.Random(seed)
    text, numbers = "a,b\n" if draw.random() < 0.5 else "", []
    text = draw.choice(["", "\ufeff"]) + draw.choice(["", "# made by hand\n", "\r\n"]) + text
    for _ in range(draw.randrange(40)):
        text += draw.choice(["", "", "", "\n", "\r\r", "  \t\r\n", "# no, row\n", " #\r"])
        pair = [draw.choice([0.5, -3.0, 1e-300, 12345678.9]), draw.random()]
        quote = draw.choice(["", '"'])
        space = draw.choice(["", "" if quote else " "])  # NumPy wants a quote first
        text += f"{space}{quote}{pair[0]!r}{quote},{space}{pair[1]!r}"
        text += draw.choice(["\n", "\r\n", "\r"])
        numbers.append(pair)
    return text[: -draw.choice([0, 1]) or None] if numbers else text, numbers


@pytest.mark.parametrize("seed", range(60))
def test_lines_of_any_kind(seed):
    text, numbers = lines_of(seed)
    Path("x.csv").write_bytes(text.encode())
    header = "a,b" in text
    if not header and not numbers:
        with pytest.raises(ValueError, match="it is empty"):
            open_table("x.csv", 2)
        return
    table = open_table("x.csv", 2, header=header)
    wanted = np.array(numbers).reshape(-1, 2)
    for a in range(len(wanted)):
        for b in range(a + 1, len(wanted) + 1):
            np.testing.assert_array_equal(table[a:b], wanted[a:b])
    assert len(table) == len(wanted)


BAD = {  # a line -> what is said of it
    "1,2": "has 2 columns, and the first line 3",
    "1,2,3,4": "has 4 columns, and the first line 3",
    "1,x,3": "'x' in column 1 is not a number",
    "1,,3": "'' in column 1 is not a number",
    '1,2,"3': "has a quote that is not closed",
    "1;2;3": "has 1 columns",
    "1,2,3_0": "cannot be read as numbers",
    "1,2,\u0661": "cannot be read as numbers",
}


def with_bad(where, line, before=""):
    rows = [",".join(map(repr, row)) for row in X.tolist()]
    for place in sorted(where):
        rows.insert(place, line)
    Path("x.csv").write_bytes("\n".join([before + "a,b,c", *rows, ""]).encode())


@pytest.mark.parametrize("line", BAD)
@pytest.mark.parametrize("row", [0, 3, 4, 40, N])
def test_a_bad_row_is_named_by_its_line(line, row):
    with_bad([row], line, before="# three\r\n\n")
    with pytest.raises(ValueError) as caught:
        open_table("x.csv", 3)
    assert str(caught.value).startswith(f"x.csv: line {row + 4}") and BAD[line] in str(caught.value)


@pytest.mark.parametrize("line", BAD)
@pytest.mark.parametrize("where", [[0], [0, 1, 2], [7, 8, 30], [N], [*range(N + 1)], [4, 9, 14]])
def test_bad_rows_are_left_out_and_counted(line, where):
    with_bad(where, line)
    table = open_table("x.csv", 3, skip_bad_rows=True)
    assert (len(table), table.skipped) == (N, len(where))
    for each in (table, pickle.loads(pickle.dumps(table))):
        for a, b in BLOCKS:
            np.testing.assert_array_equal(each[a:b], X[a:b])


def test_bytes_that_are_no_text():
    write_csv("x.csv")
    with open("x.csv", "ab") as file:
        file.write(b"1,2,\xff\n1,2,3\n")
    with pytest.raises(ValueError, match=f"line {N + 2} is not UTF-8"):
        open_table("x.csv", 3)
    table = open_table("x.csv", 3, skip_bad_rows=True)
    np.testing.assert_array_equal(table[:], [*X.tolist(), [1, 2, 3]])


def test_numbers_of_columns_that_are_not_taken():
    """A row that is cut short may still have the columns that are taken."""
    Path("x.csv").write_text("a,b,c\n1,2,3\n4,5\n6,7,8\n")
    with pytest.raises(ValueError, match="line 3 has 2 columns, and the first line 3"):
        open_table("x.csv", 2, columns=["a", "b"])
    table = open_table("x.csv", 2, columns=["a", "b"], skip_bad_rows=True)
    np.testing.assert_array_equal(table[:], [[1, 2], [6, 7]])


def test_a_file_that_changes():
    write_csv("x.csv")
    table = open_table("x.csv", 3)
    write_csv("x.csv", X[:9])
    with pytest.raises(ValueError, match=r"x\.csv: it was changed while it was read"):
        table[:2]


# Numbers that are missing in Parquet and Arrow


@pytest.mark.parametrize("write", [write_parquet, write_feather])
@pytest.mark.parametrize("where", [[0], [6, 7, 8], [N - 1], [*range(14, 28)], [3, 20, 44]])
def test_missing_numbers(write, where):
    pyarrow = pytest.importorskip("pyarrow")
    column = [None if k in where else value for k, value in enumerate(X[:, 1].tolist())]
    whole = [None if k in where else k for k in range(N)]
    made = arrow_table().set_column(1, "b", pyarrow.array(column))
    name = "x.parquet" if write is write_parquet else "x.arrow"
    write(name, made.append_column("k", pyarrow.array(whole)))
    with pytest.raises(
        ValueError, match=rf"{name}: row {where[0]}, counted from 0, lacks a number"
    ):
        open_table(name, 3, columns=["a", "b", "k"])
    kept = [k for k in range(N) if k not in where]
    table = open_table(name, 3, columns=["a", "b", "k"], skip_bad_rows=True)
    assert (len(table), table.skipped) == (len(kept), len(where))
    expected = np.column_stack([X[kept, 0], X[kept, 1], kept])
    for a in range(0, len(kept), 5):
        np.testing.assert_array_equal(table[a : a + 9], expected[a : a + 9])
    assert open_table(name, 2, columns=["a", "c"]).skipped == 0


def test_parquet_without_statistics():
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    made = arrow_table().set_column(1, "b", pyarrow.array([None, *X[1:, 1].tolist()]))
    parquet.write_table(made, "x.parquet", write_statistics=False)
    with pytest.raises(ValueError, match="row 0"):
        open_table("x.parquet", 3)
    parquet.write_table(arrow_table(), "x.parquet", write_statistics=False)
    np.testing.assert_array_equal(open_table("x.parquet", 3)[:], X)


def test_an_empty_table_of_each_kind():
    write_csv("x.csv", X[:0])
    np.save("x.npy", X[:0])
    np.savez("x.npz", X[:0])
    names = ["x.csv", "x.npy", "x.npz"]
    for name in names:
        assert open_table(name, 3)[:].shape == (0, 3)
    write_parquet("x.parquet", arrow_table(X[:0]))
    write_feather("x.feather", arrow_table(X[:0]))
    for name in ("x.parquet", "x.feather"):
        assert open_table(name, 3)[:].shape == (0, 3)


REFUSED = {  # file, its bytes, words of the message
    "parquet": ("x.parquet", b"PAR1 nothing PAR1", "x.parquet"),
    "arrow": ("x.arrow", b"ARROW1 nothing", "x.arrow"),
    "no parquet": ("x.parquet", b"", "x.parquet"),
    "no arrow": ("x.arrow", b"", "x.arrow"),
    "text": (
        "x.txt",
        b"1,2,3",
        "INPUTS must end in .npy, .csv, .npz, .parquet, .arrow or .feather",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_broken_files(case):
    pytest.importorskip("pyarrow")
    name, content, words = REFUSED[case]
    Path(name).write_bytes(content)
    with pytest.raises((ValueError, OSError)) as caught:
        open_table(name, 3)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_broken_zarr():
    pytest.importorskip("zarr")
    Path("folder").mkdir()
    with pytest.raises((ValueError, OSError), match="folder"):
        open_table("folder", 3)
    write_zarr("x.zarr", X[:, :2])
    with pytest.raises(ValueError, match=r"x\.zarr: it must hold .*\(N, 3\); got 2 columns"):
        open_table("x.zarr", 3)


# Several files


def test_several_files_are_one_table():
    write_csv("a.csv", X[:20])
    np.save("b.npy", X[20:20])
    np.save("c.npy", X[20:41])
    write_csv("d.csv", X[41:])
    paths = ["a.csv", "b.npy", "c.npy", "d.csv"]
    rows = _rows.rows(paths, (3,), np.dtype("f8"))
    for each in (rows, pickle.loads(pickle.dumps(rows))):
        for a, b in BLOCKS:
            np.testing.assert_array_equal(each[a:b], X[a:b])


def test_columns_must_have_the_same_names():
    write_csv("a.csv")
    write_csv("b.csv", header="a,c,b")
    write_csv("bare.csv", header="")
    with pytest.raises(
        ValueError, match=r"b\.csv: its columns are a,c,b, and those of a\.csv are a,b,c"
    ):
        open_tables(["a.csv", "bare.csv", "b.csv"], 3)
    tables = open_tables(["a.csv", "b.csv"], 3, columns=["a", "b", "c"])
    np.testing.assert_array_equal(tables[1][:], X[:, [0, 2, 1]])


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA")
def test_a_csv_larger_than_the_memory():
    """Of which blocks are read with 60 MB less than its numbers take."""
    rows, line = 2_500_000, "0.25,1,-3\n"
    with open("x.csv", "w") as file:
        for _ in range(100):
            file.write(line * (rows // 100))
    code = """
import resource, sys
from deltanet._io.table import open_table
open_table("small.csv", 3)
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 20_000_000,) * 2)
table = open_table("x.csv", 3)
print(len(table), *table[2_400_000:2_400_001].tolist())
try:
    table[:]
except MemoryError:
    print("too large at once")
"""
    write_csv("small.csv")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{rows} [0.25, 1.0, -3.0]\ntoo large at once\n", done.stderr


def test_a_sum_over_files():
    """Through the verbs, which read them as they go."""
    net = dn.MLP([3, 5, 2], seed=0)
    write_csv("a.csv", X[:20])
    np.save("b.npy", X[20:])
    found = net.ggn_diagonal(["a.csv", "b.npy"], checkpoint="kept")
    np.testing.assert_allclose(found, (net.jacobian_dense(X) ** 2).sum((0, 1)), rtol=1e-12)
