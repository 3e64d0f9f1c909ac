"""The machine that the last bits of a job depend on."""

from deltanet._config import show_config


def environment() -> dict[str, str]:
    """The vector instructions and the BLAS: the last bits of a result depend on them, and on nothing else."""
    config = show_config(mode="dicts")
    return {name: config[name] for name in ("simd", "blas")}
