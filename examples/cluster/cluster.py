"""Sensitivities and the Gauss-Newton matrix of a surrogate at 10^7 designs, by the workers of a Dask cluster.

The surrogate, a 10-20-20-1 net, has learned the weight of a light aircraft's wing as a function of ten
design variables (Forrester, Sobester and Keane 2008, "Engineering design via surrogate modelling", section
1.4.2). The table holds random designs, in several files of NumPy. Over all of it are computed:

    sensitivities.zarr    dy/dx at each design, a store: its mean squares rank the variables
    ggn.npy               J^T J, J = dy/dtheta: its spectrum says how many directions of theta the designs fix
    factors.zarr          the factors of J at each design, if you ask for them

    python examples/cluster/cluster.py table                         surrogate.npz, designs-00.npy, ...
    python examples/cluster/cluster.py jobs --workers 4              processes of this machine
    python examples/cluster/cluster.py jobs --slurm --workers 100    jobs of SLURM, by dask-jobqueue

`jobs` may be stopped at any moment: the same line goes on with what is not finished. array_job.sh and
sum_job.sh do the same without Dask, by SLURM and the command line.
"""

import argparse
import os
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import deltanet as dn

VARIABLES = [  # name, unit, lowest, highest
    ("wing area", "ft2", 150, 200),
    ("fuel in the wing", "lb", 220, 300),
    ("aspect ratio", "1", 6, 10),
    ("sweep", "deg", -10, 10),
    ("dynamic pressure", "lb/ft2", 16, 45),
    ("taper ratio", "1", 0.5, 1),
    ("thickness to chord", "1", 0.08, 0.18),
    ("load factor", "1", 2.5, 6),
    ("design gross weight", "lb", 1700, 2500),
    ("paint", "lb/ft2", 0.025, 0.08),
]
LOW, HIGH = np.array([each[2:] for each in VARIABLES]).T
PROC = Path("/proc/self")  # of Linux: no memory is measured elsewhere


def weight(X):
    """The wing's weight in lb (N,) by the formula that the net learns."""
    area, fuel, aspect, sweep, q, taper, thickness, load, gross, paint = X.T
    cosine = np.cos(np.radians(sweep))
    return (
        0.036
        * area**0.758
        * fuel**0.0035
        * (aspect / cosine**2) ** 0.6
        * q**0.006
        * taper**0.04
        * (100 * thickness / cosine) ** -0.3
        * (load * gross) ** 0.49
        + area * paint
    )


def designs(count, seed):
    """Random designs (count, 10), evenly spread over the ranges."""
    return np.random.default_rng(seed).uniform(LOW, HIGH, (count, len(VARIABLES)))


def surrogate(samples=4000):
    """The net, and its largest error at as many designs that it has not seen, in lb."""
    X, unseen = designs(samples, [0, 0]), designs(samples, [0, 1])
    net = dn.MLP.standardized(X, weight(X)[:, None], hidden=[20, 20], activation="tanh", seed=0)
    net = dn.fit(net, X, weight(X)[:, None], max_iter=60).net
    net.input_names = [name for name, *_ in VARIABLES]
    net.input_units = [unit for _, unit, *_ in VARIABLES]
    net.output_names, net.output_units = ["weight"], ["lb"]
    return net, np.abs(net(unseen)[:, 0] - weight(unseen)).max()


def write_table(folder, rows, files):
    """surrogate.npz and the designs."""
    folder.mkdir(exist_ok=True)
    net, error = surrogate()
    dn.save(net, folder / "surrogate.npz")
    print(f"surrogate: wrong by {error:.2g} lb at most at designs that it has not seen")
    for i in range(files):
        count = (i + 1) * rows // files - i * rows // files
        np.save(folder / f"designs-{i:02}.npy", designs(count, [1, i]))
    print(f"{rows} designs in {files} files, {8 * len(VARIABLES) * rows / 1e9:.3g} GB")


def local(workers):
    """Processes of this machine."""
    from dask.distributed import LocalCluster

    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")


def slurm(workers, walltime="01:00:00"):
    """Jobs of SLURM, each with one worker. Queue and account are those of ~/.config/dask/jobqueue.yaml.

    A worker ends by itself before the queue kills it, and adapt() has another one in its place.
    """
    from dask_jobqueue import SLURMCluster

    hours, minutes, _ = map(int, walltime.split(":"))
    lifetime = f"{60 * hours + minutes - 5}m"
    found = SLURMCluster(
        cores=1,
        processes=1,
        memory="2GB",
        walltime=walltime,
        worker_extra_args=["--lifetime", lifetime, "--lifetime-stagger", "2m"],
        scheduler_options={"dashboard_address": ":0"},  # any free port of a node that many share
    )
    found.adapt(minimum_jobs=1, maximum_jobs=workers)
    return found


def memory(name):
    """MiB of this process: VmRSS, now, or VmHWM, the most since `begin`."""
    if not PROC.exists():
        return np.nan
    lines = dict(line.split(":") for line in (PROC / "status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024


def begin():
    """What a process holds when all is imported, in MiB."""
    import zarr

    zarr.config.get("async.concurrency")  # its parts are imported
    if PROC.exists():
        (PROC / "clear_refs").write_text("5")  # VmHWM = VmRSS
    return memory("VmRSS")


def peak():
    return memory("VmHWM")


@contextmanager
def measured(client, what, *written):
    """Print time, bytes, and what parent and workers hold above their imports."""
    if hasattr(os, "sync"):
        os.sync()  # what was written before must not slow this down
    before = client.run(begin)
    own, start = begin(), time.perf_counter()
    yield
    seconds, after = time.perf_counter() - start, client.run(peak)
    workers = [after[worker] - before[worker] for worker in after if worker in before]
    nbytes = sum(file.stat().st_size for path in written for file in [path, *path.rglob("*")])
    print(
        f"{what:<14} {seconds:7.1f} s, {nbytes / 1e9:6.3f} GB; "
        f"above the import: parent {peak() - own:.0f} MiB, "
        f"workers {', '.join(f'{each:.0f}' for each in sorted(workers))} MiB",
        flush=True,
    )


def run_jobs(folder, cluster, factors=False):
    """All results, through an executor of Dask; what was finished before is not computed again."""
    from dask.distributed import Client

    net, X = dn.load(folder / "surrogate.npz"), sorted(folder.glob("designs-*.npy"))
    store, sums, kept = (
        folder / name for name in ("sensitivities.zarr", "ggn.npy", "ggn.checkpoint")
    )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(len(cluster.worker_spec))
        how = {"executor": client.get_executor(), "retries": 3}
        with measured(client, "sensitivities", store):
            dn.write(store, net, X, form="dense", wrt="inputs", resume=True, **how)
        with measured(client, "ggn", sums):
            np.save(sums, net.ggn(X, checkpoint=kept, **how))
        if factors:
            with measured(client, "factors", folder / "factors.zarr"):
                dn.write(folder / "factors.zarr", net, X, resume=True, **how)


def ranking(folder):
    """Root mean squares of dy/dx over all designs, times the ranges, in lb (10,), a block at a time."""
    store = dn.open(folder / "sensitivities.zarr")
    total = np.zeros(len(VARIABLES))
    for start in range(0, len(store), store.chunks[0]):
        total += (store[start : start + store.chunks[0], 0] ** 2).sum(axis=0)
    return np.sqrt(total / len(store)) * (HIGH - LOW)


def directions(folder, share=0.999):
    """(how many directions of theta have this share of the trace of J^T J, P)"""
    spectrum = np.linalg.eigvalsh(np.load(folder / "ggn.npy"))[::-1].cumsum()
    return int(np.searchsorted(spectrum, share * spectrum[-1])) + 1, len(spectrum)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["table", "jobs"])
    parser.add_argument("--folder", type=Path, default=Path("cluster-data"))
    parser.add_argument("--rows", type=int, default=10**7, help="of the table")
    parser.add_argument("--files", type=int, default=10, help="of the table")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--slurm", action="store_true", help="workers are jobs of SLURM")
    parser.add_argument("--factors", action="store_true", help="write the factors of J too")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    if options.what == "table":
        write_table(folder, options.rows, options.files)
        return
    run_jobs(folder, (slurm if options.slurm else local)(options.workers), options.factors)
    moves = ranking(folder)
    for i in np.argsort(-moves):
        print(f"{VARIABLES[i][0]:<20} {moves[i]:8.3g} lb over its range")
    print(
        "{} of {} directions of theta have 99.9 % of the trace of J^T J".format(*directions(folder))
    )


if __name__ == "__main__":
    main()
