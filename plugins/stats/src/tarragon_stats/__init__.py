"""Statistics of a backup: the printed block, the JSON document and the progress line."""
