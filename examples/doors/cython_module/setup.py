"""python setup.py build_ext --inplace"""

from Cython.Build import cythonize
from setuptools import Extension, setup

import deltanet

setup(
    name="batch",
    ext_modules=cythonize(
        [Extension("batch", ["batch.pyx"], include_dirs=[deltanet.get_include()])],
        compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False},
    ),
)
