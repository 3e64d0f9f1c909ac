"""The command line, in this process through `main` and in real subprocesses where that matters.

The numbers are compared with the calls of the library, which have their own oracles elsewhere.
"""

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from verb_table import without

import deltanet as dn

pytest.importorskip("typer", reason="the command line needs the extra deltanet[cli]")
from deltanet import _cli
from deltanet._cli import files

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with net.npz and X.npy in it."""
    monkeypatch.chdir(tmp_path)
    net = dn.MLP([3, 8, 4, 2], activation=["tanh", ("leaky_relu", 0.1)], seed=0)
    scaled = dn.MLP.from_layers(net.weights, net.biases, net.activations, input_scale=[2, 3, 4])
    dn.save(scaled, "net.npz")
    np.save("X.npy", np.random.default_rng(1).normal(size=(7, 3)))
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    """run("jacobian net.npz ...") -> (status, standard output, standard error)."""

    def call(line):
        with pytest.raises(SystemExit) as stop:
            _cli.main(line.split())
        return stop.value.code or 0, *capsys.readouterr()

    return call


def spawn(*args, **options):
    command = [sys.executable, "-m", "deltanet", *args]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def assert_refused(result, *words):
    """Status 2, nothing on standard output, one line with these words on standard error."""
    status, out, err = result
    assert (status, out) == (2, "")
    assert err.startswith("deltanet: ") and err.endswith("\n") and err.count("\n") == 1
    assert "Traceback" not in err
    for word in words:
        assert word in err


def table():
    return np.load("X.npy")


def csv(header="", rows=7):
    lines = [",".join(map(repr, row)) for row in table()[:rows].tolist()]
    return "\n".join([header] * bool(header) + lines) + "\n"


def write(name, text):
    with open(name, "w", encoding="utf-8", newline="") as file:
        file.write(text)


# What jacobian reads


TABLES = {
    "C order": ("T.npy", lambda name: np.save(name, table())),
    "Fortran order": ("T.npy", lambda name: np.save(name, np.asfortranarray(table()))),
    "capitals": ("T.CSV", lambda name: write(name, csv())),
    "float32": ("T.npy", lambda name: np.save(name, table().astype("f4").astype(">f4"))),
    "integers": ("T.npy", lambda name: np.save(name, (table() * 9).astype(int))),
    "one sample": ("T.npy", lambda name: np.save(name, table()[0])),
    "no sample": ("T.npy", lambda name: np.save(name, table()[:0])),
    "csv": ("T.csv", lambda name: write(name, csv())),
    "csv, one row": ("T.csv", lambda name: write(name, csv(rows=1))),
    "csv, header": ("T.csv", lambda name: write(name, csv("a,b,c"))),
    "csv, quoted": ("T.csv", lambda name: write(name, '"a","b","c"\n"1","2","3"\n')),
    "csv, mark and CRLF": ("T.csv", lambda name: write(name, "\ufeff1,2,3\r\n4,5,6\r\n")),
    "csv, header of savetxt": ("T.csv", lambda name: write(name, csv("# a,b,c"))),
    "csv, header only": ("T.csv", lambda name: write(name, "a,b,c\n")),
    "npz, one array": ("T.npz", lambda name: np.savez(name, anything=table())),
    "npz, named": ("T.npz", lambda name: np.savez_compressed(name, y=[1], inputs=table())),
    "npz, first name": ("T.npz", lambda name: np.savez(name, x=[1], X=table())),
}
EXPECTED = {
    "float32": lambda: table().astype("f4"),
    "integers": lambda: (table() * 9).astype(int),
    "one sample": lambda: table()[:1],
    "no sample": lambda: table()[:0],
    "csv, one row": lambda: table()[:1],
    "csv, quoted": lambda: np.array([[1, 2, 3]]),
    "csv, mark and CRLF": lambda: np.array([[1, 2, 3], [4, 5, 6]]),
    "csv, header only": lambda: np.empty((0, 3)),
}


@pytest.mark.parametrize("case", TABLES)
def test_reads_tables(run, case):
    name, make = TABLES[case]
    make(name)
    assert run(f"jacobian net.npz {name} -o J.npy")[0] == 0
    expected = dn.load("net.npz").jacobian_dense(EXPECTED.get(case, table)())
    np.testing.assert_array_equal(np.load("J.npy"), expected)


# What jacobian writes


def test_writes_dense_arrays(run):
    net, X = dn.load("net.npz"), table()
    for wrt, exact in (("params", net.jacobian_dense(X)), ("inputs", net.input_jacobian(X))):
        assert run(f"jacobian net.npz X.npy --out {wrt}.npy --wrt {wrt} --form dense")[0] == 0
        assert run(f"jacobian net.npz X.npy --out {wrt}.npz --wrt {wrt}")[0] == 0
        np.testing.assert_array_equal(np.load(f"{wrt}.npy"), exact)
        with np.load(f"{wrt}.npz") as archive:
            assert set(archive) == {"outputs", "jacobian"}
            np.testing.assert_array_equal(archive["jacobian"], exact)
            np.testing.assert_array_equal(archive["outputs"], net(X))


@pytest.mark.parametrize("bare", [(), (0,), (0, 1, 2)])
def test_writes_factors(run, bare):
    net, X = without(dn.load("net.npz"), bare), table()
    dn.save(net, "net.npz")
    assert run("jacobian net.npz X.npy -o J.npz --form factors")[0] == 0
    with np.load("J.npz") as archive:
        np.testing.assert_array_equal(archive["outputs"], net(X))
        rows = []
        for k in range(3):
            delta, h = archive[f"delta{k}"], archive[f"input{k}"]
            rows += [np.einsum("noj,ni->noji", delta, h).reshape(7, 2, -1)]
            rows += [delta] if archive["biases"][k] else []
        assert len(archive.files) == 8
    np.testing.assert_allclose(np.concatenate(rows, axis=2), net.jacobian_dense(X), rtol=1e-14)


def test_keeps_the_dtype_and_many_blocks_agree(run, monkeypatch):
    dn.save(dn.load("net.npz").astype("float32"), "net32.npz")
    monkeypatch.setattr(files, "BLOCK_BYTES", 1)  # one sample a block
    assert run("jacobian net32.npz X.npy -o J.npy")[0] == 0
    J = np.load("J.npy")
    assert J.dtype == np.float32
    expected = dn.load("net32.npz").jacobian_dense(table())
    np.testing.assert_allclose(J, expected, rtol=1e-5, atol=1e-6)


def test_threads_do_not_change_the_result(run):
    for threads in (1, 2):
        for out in ("dense.npy", "dense.npz", "factors.npz"):
            form = out.partition(".")[0]
            line = f"jacobian net.npz X.npy -o {threads}{out} --form {form} --threads {threads}"
            assert run(line)[0] == 0
    assert Path("1dense.npy").read_bytes() == Path("2dense.npy").read_bytes()
    for out in ("dense.npz", "factors.npz"):
        with np.load(f"1{out}") as one, np.load(f"2{out}") as two:
            for name in one:
                np.testing.assert_array_equal(one[name], two[name])


def test_passes_the_activation_on(run):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    net = dn.load("net.npz")
    state = {f"{2 * k}.weight": W for k, W in enumerate(net.weights)}
    state |= {f"{2 * k}.bias": b for k, b in enumerate(net.biases)}
    save_file({name: array.copy() for name, array in state.items()}, "torch.safetensors")
    assert run("jacobian torch.safetensors X.npy -o J.npy --activation sin")[0] == 0
    activations = ["sin", "sin", "identity"]
    expected = dn.MLP.from_layers(net.weights, net.biases, activations).jacobian_dense(table())
    np.testing.assert_array_equal(np.load("J.npy"), expected)
    assert " sin " in run("info torch.safetensors --activation sin")[1]
    assert run("check torch.safetensors --activation sin")[0] == 0


def heads():
    """One trunk with two heads, as a graph: its outputs, and what of it they need."""
    onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    helper, net = onnx.helper, dn.MLP([3, 4, 2], seed=0)
    constants = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in zip("WVB", (*net.weights, net.biases[1]), strict=True)
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "W"], ["v"], "n0", transB=1),
        helper.make_node("Tanh", ["v"], ["h"], "n1"),
        helper.make_node("Gemm", ["h", "V", "B"], ["action"], "n2", transB=1),
        helper.make_node("Neg", ["action"], ["other"], "n3"),
    ]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None)
        for name in ("x", "action", "other")
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    Path("heads.onnx").write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        ).SerializeToString()
    )
    return dn.MLP.from_layers(net.weights, [None, net.biases[1]], ["tanh", "identity"])


def test_chooses_an_output(run):
    net = heads()
    assert_refused(run("info heads.onnx"), "'action', 'other'", "output=")
    assert_refused(run("info heads.onnx --output value"), "'value'", "'action', 'other'")
    assert run("jacobian heads.onnx X.npy -o J.npy --output action")[0] == 0
    np.testing.assert_array_equal(np.load("J.npy"), net.jacobian_dense(table()))
    assert run("check heads.onnx --output other")[0] == 0
    assert "'n3' (Neg)" not in run("info heads.onnx --output action")[1]


def test_chooses_layers_and_says_what_it_leaves_out(run):
    net = dn.load("net.npz")
    arrays = {"log_std": np.zeros(2)}
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        arrays |= {f"actor.{k}.weight": W, f"actor.{k}.bias": b}
    np.savez("one.npz", **arrays)
    np.savez("two.npz", **arrays | {k.replace("actor", "critic"): a for k, a in arrays.items()})
    status, out, err = run("jacobian one.npz X.npy -o J.npy --activation sin")
    assert (status, err.count("\n")) == (0, 1) and "note: left out log_std" in err
    sin = dn.MLP.from_layers(net.weights, net.biases, ["sin", "sin", "identity"])
    np.testing.assert_array_equal(np.load("J.npy"), sin.jacobian_dense(table()))
    assert_refused(run("info two.npz --activation sin"), "critic.0 (8, 3)", "prefix= or keys=")
    for choice in ("--prefix actor.", "--keys actor.0,actor.1,actor.2"):
        line = f"two.npz X.npy -o J.npy --activation sin --output tanh --force {choice}"
        assert run(f"jacobian {line}")[::2] == (0, "")
        tanh = dn.MLP.from_layers(net.weights, net.biases, ["sin", "sin", "tanh"])
        np.testing.assert_array_equal(np.load("J.npy"), tanh.jacobian_dense(table()))
        out = run(f"info two.npz --activation sin {choice}")[1]
        assert re.search(r"note +left out critic\.0\.bias, .*log_std", out)
    assert run("info two.npz --activation sin --prefix actor.0 --prefix actor.1")[0] == 0


def test_says_what_was_folded(run):
    onnx = pytest.importorskip("onnx", reason="needs the extra deltanet[onnx]")
    heads()
    model = onnx.load("heads.onnx")
    two = onnx.numpy_helper.from_array(np.array(2.0), "two")
    model.graph.initializer.append(two)
    model.graph.node[1].input[0] = "doubled"
    model.graph.node.insert(1, onnx.helper.make_node("Mul", ["v", "two"], ["doubled"], "twice"))
    onnx.save(model, "folded.onnx")
    out = run("info folded.onnx --output action")[1]
    assert re.search(r"note +'twice' \(Mul\): folded into layer 0\n", out)


HEADERS = {  # lines, option -> rows that are read; None: refused
    "names": ("a,b,c\n1,2,3\n", "", 1),
    "counted": ("0,1,2\n.5,1.5,2.5\n", "", None),
    "counted, a header": ("0,1,2\n.5,1.5,2.5\n", "--header", 1),
    "counted, none": ("0,1,2\n.5,1.5,2.5\n", "--no-header", 2),
    "counted, before integers": ("0,1,2\n3,4,5\n", "", None),
    "counted, alone": ("0,1,2\n", "", None),
    "years": ("2000,2001,2002\n.5,-1.5e3,2.5\n", "", None),
    "integers": ("2000,2001,2002\n5,-15,25\n", "", 2),
    "fractions": ("0.1,0.2,0.3\n.5,1.5,2.5\n", "", 2),
    "fractions, a header": ("0.1,0.2,0.3\n.5,1.5,2.5\n", "--header", 1),
    "quoted": ('"1","2","3"\n.5,1.5,2.5\n', "", 1),
    "mixed": ("a,2,3\n.5,1.5,2.5\n", "", None),
    "mixed, a header": ("a,2,3\n.5,1.5,2.5\n", "--header", 1),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_of_numbers(run, case):
    lines, option, rows = HEADERS[case]
    write("T.csv", lines)
    result = run(f"jacobian net.npz T.csv -o J.npy {option}")
    if rows is None:
        assert_refused(result, "T.csv", lines.partition(",")[0], "--header", "--no-header")
    else:
        X = [
            [float(field.strip('"')) for field in line.split(",")] for line in lines.split()[-rows:]
        ]
        assert result[0] == 0
        np.testing.assert_array_equal(np.load("J.npy"), dn.load("net.npz").jacobian_dense(X))
    assert_refused(run("jacobian net.npz X.npy -o J2.npy --header"), "only a .csv")


def test_prints_one_line_and_no_progress_off_a_terminal(folder):
    process = spawn("jacobian", "net.npz", "X.npy", "-o", "J.npy")
    out, err = process.communicate()
    line = r"dense \(7, 2, 78\) float64: 8736 bytes in [\d.e-]+ s, [\d.e-]+ GB/s\n"
    assert (process.returncode, err) == (0, "")
    assert re.fullmatch(line, out)
    assert sorted(os.listdir()) == ["J.npy", "X.npy", "net.npz"]


@POSIX
def test_shows_progress_on_a_terminal(folder):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "deltanet", "jacobian", "net.npz", "X.npy", "-o", "J.npy"]
    environment = os.environ | {"TERM": "xterm"}
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment, check=True)
    shown = os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)
    assert b"jacobian" in shown and b"100%" in shown


# What jacobian refuses


def test_overwrites_only_when_told(run):
    np.save("J.npy", [1.0])
    assert_refused(run("jacobian net.npz X.npy -o J.npy"), "J.npy exists", "--force")
    assert np.load("J.npy").shape == (1,)
    assert run("jacobian net.npz X.npy -o J.npy --force")[0] == 0
    assert np.load("J.npy").shape == (7, 2, 78)


def test_does_not_overwrite_what_appeared_meanwhile(run, monkeypatch):
    computed = files.write_npy

    def meanwhile(*args):
        write("J.npy", "of another run")
        return computed(*args)

    monkeypatch.setattr(files, "write_npy", meanwhile)
    assert_refused(run("jacobian net.npz X.npy -o J.npy"), "J.npy exists")
    assert Path("J.npy").read_text() == "of another run"
    assert sorted(os.listdir()) == ["J.npy", "X.npy", "net.npz"]


def test_checks_the_disk_before_it_writes(run, monkeypatch):
    full = type("usage", (), {"free": 100})
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: full)
    for out in ("J.npy", "J.npz"):
        assert_refused(run(f"jacobian net.npz X.npy -o {out}"), "100 bytes are free")
    assert sorted(os.listdir()) == ["X.npy", "net.npz"]


def hostile_npy(header, data=b""):
    text = header.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def npy_of(shape, descr="<f8"):
    return hostile_npy(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}")


def zipped(**members):
    with zipfile.ZipFile("made.npz", "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    with open("made.npz", "rb") as file:
        return file.read()


BROKEN = {  # file name, content, words of the message
    "unknown suffix": ("T.txt", b"1,2,3", "T.txt"),
    "empty npy": ("T.npy", b"", "T.npy"),
    "not npy": ("T.npy", b"not an array at all", "magic"),
    "pickled": ("T.npy", npy_of((1,), "|O"), "object"),
    "npy of text": ("T.npy", npy_of((0, 3), "<U4"), "real numbers"),
    "complex": ("T.npy", npy_of((0, 3), "<c16"), "real numbers"),
    "shape lies": ("T.npy", npy_of((2**40, 3)), "too short"),
    "huge shape": ("T.npy", npy_of((2**70, 3)), "T.npy"),
    "negative shape": ("T.npy", npy_of((-1, 3)), "T.npy"),
    "header not closed": ("T.npy", hostile_npy("{'descr': ("), "T.npy"),
    "unknown version": ("T.npy", b"\x93NUMPY\x09\x00" + bytes(200), "version"),
    "wrong width": ("T.npy", npy_of((0, 4)), "(N, 3)"),
    "three axes": ("T.npy", npy_of((0, 3, 3)), "(N, 3)"),
    "not a zip": ("T.npz", b"PK nothing", "zip"),
    "no array": ("T.npz", lambda: zipped(), "T.npz"),
    "no name": ("T.npz", lambda: zipped(a=npy_of((0, 3)), b=npy_of((0, 3))), "a, b"),
    "member lies": ("T.npz", lambda: zipped(X=npy_of((2**40, 3))), "too short"),
    "cut zip": ("T.npz", lambda: zipped(X=npy_of((0, 3)))[:-30], "T.npz"),
    "empty csv": ("T.csv", b"", "(N, 3)"),
    "ragged csv": ("T.csv", b"1,2,3\n1,2\n", "T.csv"),
    "word in csv": ("T.csv", b"a,b,c\n1,2,x\n", "'x'"),
    "half a header": ("T.csv", b"1,2,oops\n4,5,6\n", "'oops'"),
    "csv of bytes": ("T.csv", b"\xff\xfe\x00\x01", "T.csv"),
    "narrow csv": ("T.csv", b"1,2\n3,4\n", "(N, 3)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_refuses_broken_tables_with_one_line(run, case):
    name, content, word = BROKEN[case]
    with open(name, "wb") as file:
        file.write(content() if callable(content) else content)
    before = sorted(os.listdir())
    assert_refused(run(f"jacobian net.npz {name} -o J.npy"), word)
    assert sorted(os.listdir()) == before


COMMANDS = {  # arguments, words of the message
    "": "Missing command",
    "frobnicate": "frobnicate",
    "jacobian": "MODEL",
    "jacobian net.npz": "INPUTS",
    "jacobian net.npz X.npy": "--out",
    "jacobian net.npz X.npy -o J.npy --wrt weights": "weights",
    "jacobian net.npz X.npy -o J.npy --form sparse": "sparse",
    "jacobian net.npz X.npy -o J.npy --no-such": "--no-such",
    "jacobian net.npz X.npy -o J.npy --threads 0": "threads",
    "jacobian net.npz X.npy -o J.npz --threads 1.5": "--threads",
    "jacobian net.npz X.npy -o J.npy --form factors": ".npz",
    "jacobian net.npz X.npy -o J.npz --form factors --wrt inputs": "--wrt inputs",
    "jacobian net.npz X.npy -o J.txt": "J.txt",
    "jacobian net.npz X.npy -o J": ".npy or .npz",
    "jacobian net.npz X.npy -o none/J.npy": "none",
    "jacobian net.npz X.npy -o X.npy --force": "INPUTS",
    "jacobian net.npz X.npy -o net.npz --force": "MODEL",
    "jacobian net.npz none.csv -o J.npy": "none.csv",
    "jacobian none.npz X.npy -o J.npy": "none.npz",
    "jacobian X.npy X.npy -o J.npy": "X.npy",
    "info none.onnx": "none.onnx",
    "check net.npz none.npy": "none.npy",
    "check none.npz": "none.npz",
}


@pytest.mark.parametrize("line", COMMANDS)
def test_refuses_bad_commands_with_one_line(run, line):
    before = {name: os.stat(name).st_mtime_ns for name in os.listdir()}
    assert_refused(run(line), COMMANDS[line])
    assert {name: os.stat(name).st_mtime_ns for name in os.listdir()} == before


def test_refuses_a_folder_as_output(run):
    os.mkdir("J.npy")
    assert_refused(run("jacobian net.npz X.npy -o J.npy --force"), "OUT must be a file")
    assert os.listdir("J.npy") == []


def test_without_typer_names_the_extra(folder):
    code = "import sys; sys.modules['typer'] = None; from deltanet._cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert_refused((done.returncode, done.stdout, done.stderr), 'pip install "deltanet[cli]"')


# A run that is stopped, or larger than the memory


def test_signals_are_handled_as_before(run):
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    run("info net.npz")
    run("info none.npz")
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before


@POSIX
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (getattr(signal, "SIGHUP", 0), 129)],
)
@pytest.mark.parametrize("old", [True, False])
def test_a_stopped_run_leaves_the_old_file(folder, number, status, old):
    dn.save(dn.MLP([3, 256, 256, 1], seed=0), "wide.npz")
    np.lib.format.open_memmap("many.npy", mode="w+", shape=(2_000_000, 3))  # sparse; ~10 s
    if old:
        write("J.npy", "the old file")
    before = sorted(os.listdir())
    process = spawn("jacobian", "wide.npz", "many.npy", "-o", "J.npy", "--wrt", "inputs", "--force")
    deadline = time.monotonic() + 60
    while sorted(os.listdir()) == before and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    sent = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (status, "", "")  # old typers end the ^C line
    assert time.monotonic() - sent < 5
    assert sorted(os.listdir()) == before
    if old:
        assert Path("J.npy").read_text() == "the old file"


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts maps on Linux only")
def test_a_result_larger_than_the_memory_goes_through_a_map(folder):
    code = (
        "import resource, sys; from deltanet import _cli;"
        "resource.setrlimit(resource.RLIMIT_DATA, (400_000_000,) * 2); _cli.main(sys.argv[1:])"
    )
    np.save("many.npy", np.random.default_rng(2).normal(size=(400_000, 3)))

    def limited(out):
        command = [sys.executable, "-c", code, "jacobian", "net.npz", "many.npy", "-o", out]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout, done.stderr

    assert_refused(limited("J.npz"))  # the limit holds: 499 MB at once do not fit
    status, out, err = limited("J.npy")
    assert (status, err) == (0, "") and "499200000 bytes" in out
    J, X = np.load("J.npy", mmap_mode="r"), np.load("many.npy", mmap_mode="r")
    some = slice(None, None, 1000)
    np.testing.assert_array_equal(J[some], dn.load("net.npz").jacobian_dense(X)[some])


# info, check and help


def test_info_lists_the_layers(run):
    status, out, err = run("info net.npz")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert lines[0] == ["layer", "inputs", "outputs", "activation", "parameters"]
    assert ["0", "3", "8", "tanh", "32"] in lines
    assert ["1", "8", "4", "leaky_relu(0.1)", "36"] in lines
    assert ["2", "4", "2", "identity", "10"] in lines
    assert ["parameters", "78"] in lines
    assert ["dtype", "float64"] in lines
    assert ["scalings", "input"] in lines
    assert ["dense", "Jacobian", "1.2", "MB", "per", "1000", "samples"] in lines


def test_info_counts_biases_and_says_names_and_units(run):
    net = without(dn.load("net.npz"), [1])
    net.input_names, net.input_units = ["angle", "speed", "count"], ["rad", "rad/s", ""]
    net.output_units = ["N", "m"]
    dn.save(net, "net.npz")
    out = run("info net.npz")[1]
    assert ["1", "8", "4", "leaky_relu(0.1)", "32"] in [line.split() for line in out.splitlines()]
    assert "inputs              angle [rad], speed [rad/s], count\n" in out
    assert "outputs             [N], [m]\n" in out


@pytest.mark.parametrize(("line", "samples"), [("check net.npz", 8), ("check net.npz X.npy", 7)])
def test_check_passes_a_sound_net(run, line, samples):
    status, out, err = run(line)
    assert (status, err) == (0, "")
    assert f"passed: tolerance 1e-12, {samples} samples" in out
    found = dict(re.findall(r"(\w+) +(\d\.\de[-+]\d+)", out))
    assert set(found) == {"0", "1", "2", "inputs"}
    assert all(float(error) <= 1e-12 for error in found.values())


def test_check_refuses_an_empty_table(run):
    np.save("none.npy", np.empty((0, 3)))
    assert_refused(run("check net.npz none.npy"), "no sample")


def test_check_fails_with_status_1(run):
    np.save("nan.npy", [[np.nan, 0.0, 0.0]])  # nothing agrees with NaN
    status, out, err = run("check net.npz nan.npy")
    assert (status, err) == (1, "")
    assert "FAILED" in out and "nan" in out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--help", ["jacobian", "info", "check"]),
        ("jacobian --help", ["MODEL", "INPUTS", "--out", "--wrt", "--form", "--threads"]),
        ("info --help", ["MODEL", "--activation"]),
        ("check --help", ["MODEL", "INPUTS", "--activation"]),
    ],
)
def test_help_names_every_argument(run, line, words):
    status, out, err = run(line)
    assert (status, err) == (0, "")
    for word in words:
        assert word in out


# export


EXPORTS = {
    "": {},
    "--name policy": {"name": "policy"},
    "--casadi --params argument": {"casadi": True, "params": "argument"},
    "--math libm --header": {"math": "libm", "header": True},
}


@pytest.mark.parametrize("options", EXPORTS)
def test_export_writes_what_the_library_writes(options, run, tmp_path):
    status, out, err = run(f"export net.npz -o net.c {options}")
    assert (status, err) == (0, "")
    size, net = Path("net.c").stat().st_size, dn.load("net.npz")
    assert out.splitlines()[0] == f"net.c: {size} bytes, {net.num_params} parameters"
    (tmp_path / "own").mkdir()
    net.export_c(tmp_path / "own" / "net.c", **EXPORTS[options])
    for path in (tmp_path / "own").iterdir():
        assert Path(path.name).read_bytes() == path.read_bytes()


def test_export_of_an_existing_file_needs_force(run):
    Path("net.h").write_text("before")
    assert_refused(run("export net.npz -o net.c --header"), "net.h exists", "--force")
    assert not Path("net.c").exists()
    assert run("export net.npz -o net.c --header --force")[0] == 0
    assert "net_eval" in Path("net.h").read_text()


def test_export_says_that_casadi_finds_no_second_derivatives(run):
    dn.save(dn.MLP([30, 40, 2], seed=0), "large.npz")
    status, out, err = run("export large.npz -o large.c --casadi --params argument")
    assert status == 0 and out.startswith("large.c: ")
    assert err.startswith("deltanet: note: CasADi will find no second derivatives of 'large'")


@pytest.mark.parametrize(
    "options, words",
    [
        ("-o net.cpp", ["OUT must end in .c or .fmu; got net.cpp"]),
        ("-o net.npz", ["OUT must end in .c or .fmu"]),
        ("-o net.fmu --casadi", ["--casadi is for .c files; OUT is net.fmu"]),
        ("-o net.fmu --math libm", ["--math is for .c files"]),
        ("-o net.fmu --params argument", ["--params is for .c files"]),
        ("-o net.fmu --header", ["--header is for .c files"]),
        ("-o net.c --fmi 2.0", ["--fmi is for .fmu files; OUT is net.c"]),
        ("-o net.c --state a=b", ["--state is for .fmu files"]),
        ("-o net.fmu --state ab", ["--state must be INPUT=OUTPUT; got ab"]),
        ("-o net.fmu --state a=b --state a=c", ["--state must name an input once; got a twice"]),
        ("-o net.fmu --state a=b", ["'a'"]),
        ("-o my-net.c", ["name must begin with a letter", "'my-net'"]),
        ("-o no/net.c", ["no/net.c"]),
    ],
)
def test_export_refuses(options, words, run):
    before = sorted(path.name for path in Path().iterdir())
    assert_refused(run(f"export net.npz {options}"), *words)
    assert sorted(path.name for path in Path().iterdir()) == before


@pytest.mark.parametrize("options, version", [("", "3.0"), ("--fmi 2.0 --state x0=y0", "2.0")])
def test_export_of_an_fmu(options, version, run):
    status, out, _ = run(f"export net.npz -o net.fmu {options}")
    assert status == 0 and out.startswith("net.fmu: ")
    with zipfile.ZipFile("net.fmu") as file:
        text = file.read("modelDescription.xml").decode()
    assert f'fmiVersion="{version}"' in text and ('derivative="' in text or version == "3.0")
