"""The cluster example with a small table: on a LocalCluster, and its scripts of SLURM by a plain shell."""

import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import deltanet as dn

pytestmark = pytest.mark.of_jobs

pytest.importorskip("zarr", reason="the example needs Zarr")
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "cluster"
ROWS, FILES = 3000, 3
SCRIPTS = ("requeue.sh", "array_job.sh", "sum_job.sh")
shell = pytest.mark.skipif(
    os.name == "nt" or shutil.which("bash") is None, reason="the scripts need bash and signals"
)


@pytest.fixture(scope="module")
def cluster():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("cluster", EXAMPLE / "cluster.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(cluster, tmp_path_factory):
    """The folder of a small table."""
    folder = tmp_path_factory.mktemp("table") / "new"
    cluster.main(f"table --folder {folder} --rows {ROWS} --files {FILES}".split())
    return folder


@pytest.fixture
def folder(table, tmp_path):
    """A copy of it, without results."""
    return Path(shutil.copytree(table, tmp_path / "copy"))


def designs(folder):
    return np.concatenate([np.load(path) for path in sorted(folder.glob("designs-*.npy"))])


def expected(folder):
    """dy/dx (N, 1, 10) and J^T J (P, P) from one call each."""
    net, X = dn.load(folder / "surrogate.npz"), designs(folder)
    J = net.jacobian_dense(X)[:, 0]
    return net.input_jacobian(X), J.T @ J


def assert_right(folder, *whats):
    for what, right in zip(("sensitivities", "ggn"), expected(folder), strict=True):
        if what in whats:
            path = folder / (f"{what}.zarr" if what == "sensitivities" else f"{what}.npy")
            found = dn.open(path)[:] if path.is_dir() else np.load(path)
            np.testing.assert_allclose(found, right, rtol=0, atol=1e-10 * np.abs(right).max())


def test_the_table(cluster, table):
    X, net = designs(table), dn.load(table / "surrogate.npz")
    assert X.shape == (ROWS, 10) and len(np.unique(X[:, 0])) == ROWS
    assert (X >= cluster.LOW).all() and (X <= cluster.HIGH).all()
    assert net.sizes == (10, 20, 20, 1) and net.input_names[2] == "aspect ratio"
    error = net(X)[:, 0] - cluster.weight(X)
    assert np.abs(error).max() < 2 < 0.1 * cluster.weight(X).std()


def test_the_formula(cluster):
    """A wing by hand: every power is of 1 but that of the gross weight."""
    x = [[1, 1, 1, 0, 1, 1, 0.01, 1, 10_000, 2.0]]
    assert cluster.weight(np.array(x))[0] == pytest.approx(0.036 * 10_000**0.49 + 2)


@pytest.mark.nightly
def test_jobs_on_a_local_cluster(cluster, folder, capsys):
    pytest.importorskip("distributed", reason="needs dask.distributed")
    line = f"jobs --folder {folder} --workers 2 --factors".split()
    cluster.main(line)
    assert_right(folder, "sensitivities", "ggn")
    assert dn.open(folder / "factors.zarr").finished
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*.zarr/*/c/**/*")}
    first = (folder / "ggn.npy").read_bytes()
    cluster.main(line)  # once more: nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert (folder / "ggn.npy").read_bytes() == first
    out = capsys.readouterr().out
    assert out.count("workers") == 6 and out.count("load factor") == 2


def test_results_are_those_of_the_formula(cluster, folder):
    """The ranking by the net against central differences of the formula; directions against dense rows."""
    net, X = dn.load(folder / "surrogate.npz"), designs(folder)
    dn.write(folder / "sensitivities.zarr", net, X, form="dense", wrt="inputs", rows=700)
    np.save(folder / "ggn.npy", net.ggn(X))
    steps = 1e-4 * np.diag(cluster.HIGH - cluster.LOW)
    slopes = [(cluster.weight(X + e) - cluster.weight(X - e)) / 2e-4 for e in steps]
    truth = np.sqrt(np.mean(np.square(slopes), axis=1))
    np.testing.assert_allclose(cluster.ranking(folder), truth, rtol=0.05, atol=0.5)
    squares = np.linalg.svd(net.jacobian_dense(X)[:, 0], compute_uv=False) ** 2
    count, P = cluster.directions(folder)
    assert P == 661 and squares[:count].sum() >= 0.999 * squares.sum()
    assert squares[: count - 1].sum() < 0.999 * squares.sum()


def test_workers_of_slurm(cluster, monkeypatch):
    """What the workers' jobs ask for. dask-jobqueue would submit them when they are scaled up."""
    jobqueue = pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue")
    asked = {}
    monkeypatch.setattr(jobqueue.SLURMCluster, "adapt", lambda _, **how: asked.update(how))
    with cluster.slurm(7, walltime="02:00:00") as found:
        script = found.job_script()
    assert asked == {"minimum_jobs": 1, "maximum_jobs": 7}
    for text in (
        "#SBATCH -t 02:00:00",
        "#SBATCH --cpus-per-task=1",
        "--lifetime 115m",
        "--nthreads 1",
    ):
        assert text in script


# The scripts of SLURM


@pytest.fixture
def slurm(tmp_path, folder):
    """slurm("array_job.sh", VARIABLE=...) as a queue runs it: a process in the folder of the table."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {
        "deltanet": f'exec "{sys.executable}" -m deltanet "$@"',
        "scontrol": f'echo "$@" >> "{tools}/asked"',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod((tools / name).stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    fixed = {
        "PATH": path,
        "SCRIPTS": str(EXAMPLE),
        "SLURM_JOB_ID": "70",
        "SLURM_CPUS_PER_TASK": "1",
    }

    def start(script, *arguments, **variables):
        command = ["bash", str(EXAMPLE / script), *arguments]
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | fixed | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    start.asked = lambda: (tools / "asked").read_text() if (tools / "asked").exists() else ""
    return start


def ended(process):
    """Its status, and what it has said."""
    with process:
        out, _ = process.communicate(timeout=120)
    return process.returncode, out


@shell
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound(name):
    subprocess.run(["bash", "-n", str(EXAMPLE / name)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(EXAMPLE / name)], check=True)


@shell
def test_array_job(folder, slurm):
    pytest.importorskip("typer", reason="the command line needs the extra 'cli'")
    for task in ("1", "0", "1"):  # in any order; a part that is run again
        array = {"SLURM_ARRAY_JOB_ID": "69", "SLURM_ARRAY_TASK_ID": task, "PARTS": "2"}
        assert ended(slurm("array_job.sh", **array))[0] == 0
    assert_right(folder, "sensitivities")
    assert slurm.asked() == ""


@shell
def test_sum_job(folder, slurm):
    pytest.importorskip("typer", reason="the command line needs the extra 'cli'")
    status, said = ended(slurm("sum_job.sh", SLURM_CPUS_PER_TASK="2"))
    assert status == 0, said
    assert_right(folder, "ggn")


TASK = """
import signal, sys, time
def end(*_):
    time.sleep(0.3)
    sys.exit({status})
signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
time.sleep(60)
"""
ARRAY = {"SLURM_ARRAY_JOB_ID": "69", "SLURM_ARRAY_TASK_ID": "3"}


@shell
@pytest.mark.parametrize(
    "sent, status, variables, asked",
    [
        ("USR1", 143, {}, "requeue 70\n"),
        ("USR1", 143, ARRAY, "requeue 69_3\n"),
        ("USR1", 0, {}, ""),  # it was just finished
        ("USR1", 2, {}, ""),  # it has failed
        ("TERM", 143, ARRAY, ""),  # cancelled
    ],
)
def test_signals_of_a_queue(slurm, sent, status, variables, asked):
    """The command ends by itself, its status is kept, and the job is put back only at its time limit."""
    process = slurm("requeue.sh", sys.executable, "-c", TASK.format(status=status), **variables)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(getattr(signal, f"SIG{sent}"))
    time.sleep(0.1)
    assert process.poll() is None  # it waits for the command
    assert ended(process)[0] == status
    assert slurm.asked() == asked


@shell
@pytest.mark.parametrize("status", [0, 2, 143])
def test_status_of_a_command(slurm, status):
    assert ended(slurm("requeue.sh", "sh", "-c", f"exit {status}"))[0] == status
    assert slurm.asked() == ""
