import pytest
from tarragon_testkit import BackendContract


class _OnTheServer(BackendContract):
    scheme = "sftp"

    @pytest.fixture(autouse=True)
    def _server(self, sshd):
        self.sshd, self.folder = sshd, sshd.new_folder() + "/not/yet there"

    def connect(self, tmp_path, context):
        return self.sshd.open(self.folder, scheme=self.scheme)


class TestSftpBackend(_OnTheServer):
    many = 300  # three pages of a listing of OpenSSH
    examples = 6


@pytest.mark.slow
class TestScpBackend(_OnTheServer):
    scheme = "scp"
    # Every call is a process at the other side, or three; and a listing has no pages.
    many = 12
    examples = 1


@pytest.mark.slow
class TestSftpBackendWithoutExtensions(_OnTheServer):
    """Version 3 of SFTP and nothing more: what other servers than OpenSSH offer."""

    many = 120
    examples = 2

    @pytest.fixture
    def sshd(self, plain_sshd):
        return plain_sshd
