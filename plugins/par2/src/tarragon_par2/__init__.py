"""Wrapper par2: recovery files beside everything that is stored, and repair when it is read."""
