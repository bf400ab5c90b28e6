"""Build the kernel as one cp311-abi3 extension; everything else stands in pyproject.toml."""

from setuptools import setup

setup(
    cffi_modules=["build_kernel.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
