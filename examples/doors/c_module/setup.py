"""python setup.py build_ext --inplace"""

from setuptools import Extension, setup

import deltanet

setup(
    name="batch",
    ext_modules=[Extension("batch", ["batch.c"], include_dirs=[deltanet.get_include()])],
)
