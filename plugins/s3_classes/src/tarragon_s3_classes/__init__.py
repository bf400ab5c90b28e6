"""Storage classes for the backend s3, and the action thaw."""
