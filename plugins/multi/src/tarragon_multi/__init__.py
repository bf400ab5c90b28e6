"""Backend multi: several stores as one, striped or mirrored."""
