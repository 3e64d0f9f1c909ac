"""python setup.py build_ext --inplace"""

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

import deltanet

setup(
    name="batch",
    ext_modules=[Pybind11Extension("batch", ["batch.cpp"], include_dirs=[deltanet.get_include()])],
)
