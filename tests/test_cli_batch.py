"""The command line for batch jobs: many inputs, stores, workers, and runs that are stopped.

The numbers are compared with the calls of the library. Signals are sent to real processes.
"""

import contextlib
import filecmp
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import deltanet as dn

pytest.importorskip("typer", reason="the command line needs the extra deltanet[cli]")
from deltanet import _cli
from deltanet._cli import files, report, workers

pytestmark = pytest.mark.of_jobs

ZARR = pytest.mark.skipif(
    importlib.util.find_spec("zarr") is None, reason="needs the extra deltanet[zarr]"
)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc lists the children of a process")
N = 400
X = np.random.default_rng(0).standard_normal((N, 3))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with net.npz, X.npy, and parts of X in it."""
    monkeypatch.chdir(tmp_path)
    dn.save(dn.MLP([3, 8, 4, 2], activation="tanh", seed=0), "net.npz")
    np.save("X.npy", X)
    np.savetxt("part-1.csv", X[:150], delimiter=",", header="a,b,c", comments="")
    np.savetxt("part-2.csv", X[150:151], delimiter=",", header="a,b,c", comments="")
    np.save("part-3.npy", X[151:])
    return tmp_path


@pytest.fixture
def run(capsys):
    """run("jacobian net.npz ...") -> (status, standard output, standard error)."""

    def call(line):
        with pytest.raises(SystemExit) as stop:
            _cli.main(shlex.split(line))
        return stop.value.code or 0, *capsys.readouterr()

    return call


def spawn(line, **options):
    command = [sys.executable, "-m", "deltanet", *shlex.split(line)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def net():
    return dn.load("net.npz")


def same_store(one, other):
    """The same bytes in every file, but for the locks."""
    found = filecmp.dircmp(one, other, ignore=[])
    pairs = [found]
    while pairs:
        pair = pairs.pop()
        alone = [name for name in pair.left_only + pair.right_only if not name.endswith(".lock")]
        assert (alone, pair.diff_files, pair.funny_files) == ([], [], [])
        pairs += pair.subdirs.values()


# Inputs


def test_several_inputs_in_their_order(run):
    assert run("jacobian net.npz part-1.csv part-2.csv part-3.npy -o J.npy")[0] == 0
    np.testing.assert_array_equal(np.load("J.npy"), net().jacobian_dense(X))
    assert run("jacobian net.npz part-3.npy part-1.csv -o J.npz")[0] == 0
    with np.load("J.npz") as archive:
        np.testing.assert_array_equal(archive["outputs"], net()(np.concatenate([X[151:], X[:150]])))


@pytest.mark.parametrize("out", ["J.npy", "G.npz"])
def test_standard_input(out):
    text = Path("part-1.csv").read_text()
    command = "jacobian" if out == "J.npy" else "ggn"
    process = spawn(f"{command} net.npz part-2.csv - -o {out} --json", stdin=subprocess.PIPE)
    printed, err = process.communicate(text)
    assert (process.returncode, err) == (0, "")
    assert json.loads(printed)["rows"] == 151
    rows = np.concatenate([X[150:151], X[:150]])
    if command == "jacobian":
        np.testing.assert_array_equal(np.load("J.npy"), net().jacobian_dense(rows))
    else:
        J = net().jacobian_dense(rows).reshape(-1, net().num_params)
        np.testing.assert_allclose(np.load("G.npz")["ggn"], J.T @ J, rtol=1e-12, atol=1e-12)
    assert not list(Path().glob(".standard-input*"))


def test_a_bad_row_of_standard_input_is_named():
    process = spawn("jacobian net.npz - -o J.npy", stdin=subprocess.PIPE)
    out, err = process.communicate("1,2,3\n1,2\n")
    line = "deltanet: standard input: line 2 has 2 columns, and the first line 3\n"
    assert (process.returncode, out, err) == (2, "", line)
    assert sorted(os.listdir()) == sorted(["X.npy", "net.npz", *map(str, Path().glob("part-*"))])


def test_columns_and_dtype(run):
    lines = ["c,name,a,b", *(f"{c!r},run,{a!r},{b!r}" for a, b, c in X.tolist())]
    Path("T.csv").write_text("\n".join(lines))
    single = net().astype("float32")
    for columns in ("a,b,c", "2,3,0", "a,3,c"):
        line = f"jacobian net.npz T.csv -o J.npy --force --columns {columns} --dtype float32"
        assert run(line)[0] == 0
        J = np.load("J.npy")
        assert J.dtype == np.float32
        np.testing.assert_array_equal(J, single.jacobian_dense(X.astype("f4")))


def test_bad_rows_are_counted(run):
    Path("T.csv").write_text("1,2,3\n1,2\n4,5,6\nx,1,2\n")
    status, out, err = run("jacobian net.npz T.csv -o J.npy")
    assert (status, out) == (2, "") and err.startswith("deltanet: T.csv: line 2 has 2 columns")
    status, out, err = run("jacobian net.npz T.csv -o J.npy --skip-bad-rows")
    assert (status, err) == (0, "") and out.endswith("; 2 bad rows skipped\n")
    np.testing.assert_array_equal(np.load("J.npy"), net().jacobian_dense([[1, 2, 3], [4, 5, 6]]))
    out = run("diagonal net.npz T.csv -o D.npy --skip-bad-rows --json")[1]
    assert (json.loads(out)["rows"], json.loads(out)["rows_skipped"]) == (2, 2)


@pytest.mark.parametrize("out", ["Y.npy", "Y.npz"])
def test_outputs(run, out):
    status, text, _ = run(f"jacobian net.npz X.npy -o {out} --form outputs")
    assert status == 0 and text.startswith("outputs (400, 2) float64: 6400 bytes")
    found = np.load(out)
    found = found if out == "Y.npy" else found["outputs"]
    np.testing.assert_array_equal(found, net()(X))


# Stores


FORMS = {
    "": ("factors", "params"),
    "--form dense": ("dense", "params"),
    "--wrt inputs": ("dense", "inputs"),
    "--form outputs": ("outputs", "params"),
}


@ZARR
@pytest.mark.parametrize("options", FORMS)
def test_a_store_is_that_of_the_library(run, options):
    form, wrt = FORMS[options]
    status, out, err = run(f"jacobian net.npz X.npy -o S.zarr --rows 64 {options}")
    assert (status, err) == (0, "") and out.startswith(f"{form} (400, ")
    assert ": 7 of 7 blocks; " in out
    dn.write("own.zarr", net(), X, form=form, wrt=wrt, rows=64)
    same_store("S.zarr", "own.zarr")


@ZARR
def test_parts_of_a_store(run):
    dn.write("own.zarr", net(), X, rows=50)
    for i in (2, 0, 1):
        status, out, _ = run(f"jacobian net.npz X.npy -o S.zarr --rows 50 --part {i}/3 --json")
        assert status == 0
        assert json.loads(out)["blocks_done"] == {2: 3, 0: 5, 1: 8}[i]
    same_store("S.zarr", "own.zarr")


@ZARR
def test_resume_writes_what_is_missing(run):
    line = "jacobian net.npz X.npy -o S.zarr --rows 50"
    assert run(f"{line} --resume")[0] == 0  # there is nothing yet
    shutil.copytree("S.zarr", "own.zarr")
    for block in (1, 6):
        os.unlink(f"S.zarr/done/c/{block}")
    before = os.stat("S.zarr/delta0/c/0/0/0").st_mtime_ns
    status, out, _ = run(f"{line} --resume --json")
    facts = json.loads(out)
    assert (status, facts["blocks_done"], facts["bytes"]) == (0, 8, 100 * 8 * (2 + 2 * 14 + 15))
    same_store("S.zarr", "own.zarr")
    assert os.stat("S.zarr/delta0/c/0/0/0").st_mtime_ns == before
    status, _, err = run(line)
    assert (status, err) == (
        2,
        "deltanet: S.zarr exists: give --resume to go on with it, or another OUT\n",
    )
    status, _, err = run("jacobian net.npz part-3.npy -o S.zarr --rows 50 --resume")
    assert status == 2 and err.startswith("deltanet: store 'S.zarr' is that of another job")
    assert err.count("\n") == 1


@ZARR
def test_info_of_a_store(run):
    run("jacobian net.npz X.npy -o S.zarr --rows 50 --part 0/2")
    status, out, err = run("info S.zarr")
    assert (status, err) == (0, "")
    words = [" ".join(line.split()) for line in out.splitlines()]
    assert "form factors by params" in words and "shape (400, 2, 78)" in words
    assert "blocks 4 of 8 done, 50 samples each" in words
    assert f"written by deltanet {dn.__version__}" in words
    config = dn.show_config("dicts")
    assert f"simd {config['simd']}" in words and f"blas {config['blas']}" in words
    facts = json.loads(run("info S.zarr --json")[1])
    assert (facts["blocks_done"], facts["blocks"], facts["block_rows"]) == (4, 8, 50)
    assert facts["shape"] == [400, 2, 78] and facts["bytes"] == 400 * 8 * 45
    os.mkdir("other.zarr")
    status, _, err = run("info other.zarr")
    assert status == 2 and "other.zarr" in err and err.count("\n") == 1


def test_info_of_a_model_as_json(run):
    facts = json.loads(run("info net.npz --json")[1])
    assert facts["parameters"] == 78 and facts["layers"][1]["inputs"] == 8
    assert (facts["dtype"], facts["scalings"], facts["notes"]) == ("float64", [], [])


# Sums


@pytest.mark.parametrize("out", ["R.npy", "R.npz"])
@pytest.mark.parametrize("command", ["ggn", "diagonal"])
def test_sums(run, command, out):
    status, text, err = run(f"{command} net.npz part-1.csv part-2.csv part-3.npy -o {out}")
    assert (status, err) == (0, "") and f"{command} (78" in text and "400 rows" in text
    found = np.load(out)
    found = found if out == "R.npy" else found[command]
    J = net().jacobian_dense(X).reshape(-1, 78)
    expected = J.T @ J if command == "ggn" else (J**2).sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert not Path(f"{out}.checkpoint").exists()


@pytest.mark.parametrize("command", ["ggn", "diagonal"])
def test_a_sum_goes_on_from_its_checkpoint(run, command):
    run(f"{command} net.npz X.npy -o whole.npy")
    os.mkdir("R.npy.checkpoint")
    status, _, err = run(f"{command} net.npz X.npy -o R.npy")
    assert status == 2 and err.count("\n") == 1
    assert "R.npy.checkpoint exists: give --resume" in err and "--force" in err
    assert run(f"{command} net.npz X.npy -o R.npy --resume")[0] == 0
    assert filecmp.cmp("R.npy", "whole.npy", shallow=False)
    assert not Path("R.npy.checkpoint").exists()
    os.mkdir("R.npy.checkpoint")
    Path("R.npy.checkpoint/job.json").write_text("{}")
    assert run(f"{command} net.npz X.npy -o R.npy --force")[0] == 0


@pytest.mark.parametrize("command", ["ggn", "diagonal"])
def test_workers_do_not_change_the_bits(command):
    for workers_ in ("", "--workers 1", "--workers 2"):
        name = f"R{workers_[-1:]}.npy"
        process = spawn(f"{command} net.npz X.npy part-1.csv -o {name} {workers_} --quiet")
        _, err = process.communicate()
        assert (process.returncode, err) == (0, "")
    assert filecmp.cmp("R.npy", "R1.npy", shallow=False)
    assert filecmp.cmp("R.npy", "R2.npy", shallow=False)


# What is refused


REFUSED = {  # line -> words of the message
    "jacobian net.npz - - -o J.npy": "standard input can be read once",
    "jacobian net.npz X.npy none.csv -o J.npy": "none.csv",
    "jacobian net.npz X.npy part-1.csv -o part-1.csv": "OUT must end in .npy or .npz, or in .zarr",
    "jacobian net.npz part-1.csv X.npy -o X.npy --force": "OUT must not be INPUTS",
    "jacobian net.npz X.npy -o J.npy --rows 5": "--rows is for a store, OUT.zarr; got J.npy",
    "jacobian net.npz X.npy -o J.npz --resume": "--resume is for a store",
    "jacobian net.npz X.npy -o J.npy --workers 2": "--workers is for a store",
    "jacobian net.npz X.npy -o J.npy --scheduler tcp://x:1": "--scheduler is for a store",
    "jacobian net.npz X.npy -o J.npy --part 0/2": "--part is for a store",
    "jacobian net.npz X.npy -o S.zarr --part 2/2": "--part must be I/N with 0 <= I < N; got 2/2",
    "jacobian net.npz X.npy -o S.zarr --part 1": "--part must be I/N",
    "jacobian net.npz X.npy -o S.zarr --part -1/2": "--part must be I/N",
    "jacobian net.npz X.npy -o S.zarr --rows 0": "rows",
    "jacobian net.npz X.npy -o S.zarr --force": "--force is for files",
    "jacobian net.npz X.npy -o none/S.zarr": "none/S.zarr must be in a folder",
    "jacobian net.npz X.npy -o S.zarr --workers 0": "--workers must be at least 1; got 0",
    "jacobian net.npz X.npy -o S.zarr --workers 2 --scheduler tcp://x:1": "exclude each other",
    "jacobian net.npz X.npy -o S.zarr --wrt inputs --form factors": "--wrt inputs has no factors",
    "jacobian net.npz X.npy -o Y.npy --wrt inputs --form outputs": "leave --wrt inputs out",
    "jacobian net.npz X.npy -o J.npy --columns 0,1": "the net has 3 inputs; --columns names 2, 0,1",
    "jacobian net.npz X.npy -o J.npy --columns a,b,c": "no column 'a'",
    "jacobian net.npz X.npy -o J.npy --dtype float16": "float16",
    "ggn net.npz X.npy -o G.zarr": "OUT must end in .npy or .npz; got G.zarr",
    "ggn net.npz X.npy -o net.npz --force": "OUT must not be MODEL",
    "diagonal net.npz X.npy -o none/D.npy": "none/D.npy",
    "diagonal net.npz X.npy -o X.npy": "OUT must not be INPUTS",
}


@pytest.mark.parametrize("line", REFUSED)
def test_refuses_with_one_line_and_writes_nothing(run, line):
    if ".zarr" in line:
        pytest.importorskip("zarr")
    before = sorted(os.listdir())
    status, out, err = run(line)
    assert (status, out) == (2, "")
    assert err.startswith("deltanet: ") and err.count("\n") == 1 and REFUSED[line] in err
    assert sorted(os.listdir()) == before


def test_no_scheduler_answers(run, monkeypatch):
    pytest.importorskip("distributed", reason="needs the extra deltanet[dask]")
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    status, _, err = run("ggn net.npz X.npy -o G.npy --scheduler tcp://127.0.0.1:9")
    assert status == 2 and "no Dask scheduler answers at tcp://127.0.0.1:9" in err
    assert err.count("\n") == 1


# What is said


def test_one_line_of_json(run):
    status, out, err = run("jacobian net.npz X.npy -o J.npy --json")
    facts = json.loads(out)
    assert (status, err, out.count("\n")) == (0, "", 1)
    rate, seconds = facts.pop("rows_per_second"), facts.pop("seconds")
    assert rate > 0 and seconds > 0
    assert facts == {
        "command": "jacobian",
        "output": "J.npy",
        "form": "dense",
        "rows": 400,
        "rows_skipped": 0,
        "shape": [400, 2, 78],
        "dtype": "float64",
        "bytes": 400 * 2 * 78 * 8,
        "status": 0,
    }
    status, out, err = run("jacobian net.npz X.npy -o J.npy --json")
    facts = json.loads(out)
    assert (status, facts["status"]) == (2, 2)
    assert err == f"deltanet: {facts['error']}\n" and "J.npy exists" in err


def test_quiet(run):
    for line in ("jacobian net.npz X.npy -o J.npy", "ggn net.npz X.npy -o G.npy"):
        assert run(f"{line} --quiet") == (0, "", "")
    assert json.loads(run("diagonal net.npz X.npy -o D.npy --quiet --json")[1])["status"] == 0


def test_lines_of_progress(run, monkeypatch):
    """As in the log of a queue, where there is no terminal."""
    monkeypatch.setattr(report, "LINE_SECONDS", 0)
    monkeypatch.setattr(files, "BLOCK_BYTES", 2**16)
    status, _, err = run("jacobian net.npz X.npy -o J.npy")
    lines = err.splitlines()
    assert status == 0 and len(lines) > 1
    pattern = r"deltanet: \d+ of 400 rows, [\d.e+]+ rows/s, \d:\d\d:\d\d left"
    for line in lines:
        assert re.fullmatch(pattern, line), line
    assert lines[-1].startswith("deltanet: 400 of 400 rows") and lines[-1].endswith("0:00:00 left")
    assert run("jacobian net.npz X.npy -o J2.npy --quiet") == (0, "", "")


def test_version(run):
    assert run("--version") == (0, f"deltanet {dn.__version__}\n", "")


@pytest.mark.parametrize("status", ["0", "1", "2", "3", "129", "130", "143"])
def test_help_names_the_statuses(run, status):
    assert re.search(rf"\b{status}\b", run("--help")[1].partition("Exit statuses:")[2])


def test_the_page_names_every_option():
    page = Path(__file__).parents[1] / "docs" / "command_line.rst"
    text = page.read_text(encoding="utf-8")
    app = _cli.typer.main.get_command(_cli._app())
    for name, command in app.commands.items():
        assert f"``{name}``" in text
        for option in command.params:
            if name != "export" and option.name != "help":  # which has a page of its own
                for each in (*option.opts, *option.secondary_opts):
                    assert f"``{each}" in text or not each.startswith("-"), (name, each)


COMPLETIONS = {
    "deltanet ja": {"jacobian"},
    "deltanet jacobian --fo": {"--form", "--force"},
    "deltanet jacobian --form ": {"dense", "factors", "outputs"},
    "deltanet ggn net.npz --wo": {"--workers"},
}


@pytest.mark.parametrize("words", COMPLETIONS)
def test_completion(words):
    """What bash asks for, and the script that asks."""
    asked = {
        "_DELTANET_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    command = [sys.executable, "-m", "deltanet"]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True)
    assert (done.returncode, set(done.stdout.split())) == (0, COMPLETIONS[words])


def test_the_script_of_completion():
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "deltanet", "--show-completion", "bash"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "_DELTANET_COMPLETE=complete_bash" in done.stdout


# Runs that are stopped


@pytest.fixture
def wide():
    """For jobs of some 60 blocks, and of 6 ranges."""
    dn.save(dn.MLP([3, 100, 100, 5], seed=0), "wide.npz")
    many = np.random.default_rng(2).standard_normal((100_000, 3))
    np.save("many.npy", many)
    np.save("some.npy", many[:3000])


LINES = {  # line, what there is of finished work
    "store": ("jacobian wide.npz some.npy -o R.zarr --rows 50", "R.zarr/done/c/*"),
    "sum": ("diagonal wide.npz many.npy -o R.npy", "R.npy.checkpoint/*.npz"),
}


def children(pid):
    """All processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(child)]
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until_none_is_alive(pids):
    deadline = time.monotonic() + 20
    while any(map(alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def slowed(line, tmp_path):
    """The command, each of whose reads takes 0.1 s more; in workers as well."""
    (tmp_path / "slow").mkdir(exist_ok=True)
    (tmp_path / "slow" / "sitecustomize.py").write_text(
        """
import time
from deltanet._rows import Rows
read = Rows.__getitem__
Rows.__getitem__ = lambda self, part: (time.sleep(0.1), read(self, part))[1]
"""
    )
    path = os.pathsep.join([str(tmp_path / "slow"), os.environ.get("PYTHONPATH", "")])
    return spawn(line, env=os.environ | {"PYTHONPATH": path})


def until_some_is_finished(process, pattern):
    deadline = time.monotonic() + 120
    while len(list(Path().glob(pattern))) < 1:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def resumed_like_one_run(command, case):
    """The command that was printed ends the job, and the result has the bytes of one run."""
    line, _ = LINES[case]
    assert command.startswith("deltanet ") and command.endswith(" --resume")
    process = spawn(f"{command.removeprefix('deltanet ')} --quiet")  # no line of progress either
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    whole = spawn(line.replace(" R.", " whole."))
    assert whole.wait() == 0, whole.communicate()
    whole.communicate()
    if case == "store":
        same_store("R.zarr", "whole.zarr")
    else:
        assert filecmp.cmp("R.npy", "whole.npy", shallow=False)


STATUSES = {signal.SIGTERM: (143, "SIGTERM"), signal.SIGINT: (130, "SIGINT")}
STOPS = [  # case, options, signal
    ("store", "", signal.SIGINT),
    ("store", " --workers 2", signal.SIGTERM),
    ("sum", "", signal.SIGTERM),
    ("sum", " --workers 2", signal.SIGINT),
]


@ZARR
@LINUX
@pytest.mark.parametrize("case, workers, number", STOPS)
def test_a_signal_keeps_what_is_finished(wide, folder, case, workers, number):
    line, finished = LINES[case]
    process = slowed(line + workers, folder)
    until_some_is_finished(process, finished)
    below = children(process.pid)
    assert len(below) >= 2 * bool(workers)
    process.send_signal(number)
    sent = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 20
    status, name = STATUSES[number]
    lines = err.splitlines()
    assert (process.returncode, out) == (status, ""), err
    assert lines[-3] == f"deltanet: ended by {name}" and "Traceback" not in err, err
    assert "what is finished is kept" in lines[-2]
    until_none_is_alive(below)
    assert list(Path().glob(finished))
    resumed_like_one_run(lines[-1], case)


@ZARR
@LINUX
@pytest.mark.parametrize("case", LINES)
def test_a_worker_that_dies(wide, folder, case):
    line, finished = LINES[case]
    process = slowed(f"{line} --workers 2 --json", folder)
    until_some_is_finished(process, finished)
    below = children(process.pid)
    for pid in below:  # the workers, and not what watches over shared memory
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    lines = err.splitlines()
    assert process.returncode == 3 and json.loads(out)["status"] == 3
    assert "worker died" in lines[-3] and "kept" in lines[-2] and "Traceback" not in err, err
    until_none_is_alive(below)
    resumed_like_one_run(lines[-1].replace(" --json", ""), case)


@ZARR
@LINUX
def test_no_worker_outlives_a_command_that_is_killed(wide, folder):
    line, finished = LINES["store"]
    process = slowed(f"{line} --workers 2", folder)
    until_some_is_finished(process, finished)
    below = children(process.pid)
    process.kill()
    process.communicate()
    until_none_is_alive(below)
    resumed_like_one_run(f"deltanet {line} --resume", "store")


@contextlib.contextmanager
def dask_cluster():
    """The address of a scheduler with two workers, and its process."""
    pytest.importorskip("distributed", reason="needs the extra deltanet[dask]")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    where = ["--scheduler-file", "scheduler.json"]
    server = [*dask, "scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1", *where]
    worker = [*dask, "worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", *where]
    started = [subprocess.Popen(server, **quiet)]
    try:
        deadline = time.monotonic() + 60
        while not (Path("scheduler.json").exists() and Path("scheduler.json").read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        started += [subprocess.Popen(worker, **quiet) for _ in range(2)]
        yield json.loads(Path("scheduler.json").read_text())["address"], started[0]
    finally:
        for process in started:
            process.kill()
            process.wait(30)


@ZARR
@LINUX
def test_a_dask_scheduler(wide):
    with dask_cluster() as (address, _):
        for line, _ in LINES.values():
            process = spawn(f"{line} --scheduler {address}")
            _, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
    resumed_like_one_run(f"deltanet {LINES['store'][0]} --resume", "store")


@ZARR
@LINUX
@pytest.mark.nightly
@pytest.mark.parametrize("case", LINES)
def test_a_dask_scheduler_that_dies(wide, case):
    """A client tries for half a minute to reach it again."""
    line, finished = LINES[case]
    np.save("some.npy", np.random.default_rng(2).standard_normal((200_000, 3)))
    with dask_cluster() as (address, scheduler):
        process = spawn(f"{line} --scheduler {address}")
        until_some_is_finished(process, finished)
        scheduler.kill()
        _, err = process.communicate(timeout=120)
    lines = err.splitlines()
    assert process.returncode == 3 and "Traceback" not in err, err
    assert "what is finished is kept" in lines[-2]
    assert lines[-1].endswith(f"--scheduler {address} --resume")
    resumed_like_one_run(lines[-1].replace(f" --scheduler {address}", ""), case)
