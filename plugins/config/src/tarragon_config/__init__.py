"""Profiles: what @name stands for, in one TOML file."""
