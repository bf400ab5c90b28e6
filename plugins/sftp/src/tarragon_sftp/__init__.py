"""A folder of a host that is reached by ssh: over SFTP, or by the remote program scp."""
