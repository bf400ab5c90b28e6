"""GnuPG as a cipher: one process per stored file, judged by its status lines."""
