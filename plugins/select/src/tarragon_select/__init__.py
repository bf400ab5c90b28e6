"""File selection: what of a source is backed up, compared or restored."""
