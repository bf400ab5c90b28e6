import shutil

import pytest
from tarragon_testkit import BackendContract


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xorriso") is None, reason="no program xorriso (apt-get install)")
class TestXorrisoBackend(BackendContract):
    # Every change is a session of its own, and every look a program: 0.1 s each.
    many = 8
    small = True
    large = 1 << 20
    examples = 1

    @pytest.fixture(autouse=True)
    def _image(self, tmp_path):
        (tmp_path / "image.iso").touch()

    url = "xorriso://{tmp}/image.iso:/a folder/of it"
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
