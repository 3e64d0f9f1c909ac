"""The extension modules of the compiled core; all else is in pyproject.toml."""

import sys
from pathlib import Path

import numpy
import scipy
from Cython.Build import cythonize
from setuptools import Extension, setup

# -fno-math-errno and -fno-trapping-math change no value; they let the compiler vectorise a loop with
# a select in it. Contraction is off so that a number does not depend on its place in a loop.
FLAGS = (
    ["/O2"]
    if sys.platform == "win32"
    else ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
)
MODULES = (
    "activation",
    "forward",
    "backward",
    "buffers",
    "hold",
    "xxh64",
    "cholesky",
    "curvature",
    "lone",
    "context",
    "work",
    "engine",
    "tiles",
    "bends",
    "capi",
)

# Some are included by others, which nothing else tells setuptools.
HEADERS = sorted(str(path) for path in Path("src/deltanet").glob("*/*.h"))

# SciPy >= 1.18 says how wide the integers of its BLAS are; before, they were int.
pxd = Path(scipy.__file__).with_name("linalg") / "cython_blas.pxd"
exported = "blas_int" in pxd.read_text()
generated = Path("build/include")
generated.mkdir(parents=True, exist_ok=True)
generated.joinpath("blas_int.pxi").write_text(
    "from scipy.linalg.cython_blas cimport blas_int\n" if exported else "ctypedef int blas_int\n"
)

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"deltanet._core.{name}",
                [f"src/deltanet/_core/{name}.pyx"],
                include_dirs=[numpy.get_include(), "src/deltanet/include"],
                define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
                depends=HEADERS,
                extra_compile_args=FLAGS,
            )
            for name in MODULES
        ],
        include_path=[str(generated)],
        build_dir="build",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    )
)
