"""results.svg: time against N and against P; loss.svg: loss against time."""

import numpy as np


def pyplot():
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "deltanet"
    from matplotlib import pyplot

    return pyplot


def save(figure, path):
    figure.savefig(path, metadata={"Date": None})
    pyplot().close(figure)


def plot_times(series, path):
    """{label of x: {name: (x, seconds)}} on logarithmic axes: lines of slope one, no jumps."""
    figure, axes = pyplot().subplots(
        1, len(series), figsize=(5 * len(series), 4), layout="constrained"
    )
    for ax, (label, lines) in zip(axes, series.items(), strict=True):
        for name, (x, y) in lines.items():
            ax.loglog(x, y, "o-", label=name, markersize=3)
        ax.loglog(x, y[-1] * np.array(x) / x[-1], "k:", linewidth=1, label="slope one")
        ax.set(xlabel=label, ylabel="seconds")
        ax.legend()
    save(figure, path)


def plot_losses(losses, noise, path):
    """{name: (seconds, mean squared residual of a row)}, and the noise in the data."""
    figure, ax = pyplot().subplots(figsize=(6, 4), layout="constrained")
    for name, (at, loss) in losses.items():
        ax.semilogy(at, loss, "o-", label=name, markersize=2)
    ax.axhline(noise, color="k", linewidth=1, linestyle=":", label="noise")
    ax.set(xlabel="seconds", ylabel="mean squared residual of a row")
    ax.legend()
    save(figure, path)
