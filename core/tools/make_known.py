"""Write core/src/tarragon/plugin/known.py: which package an option or a scheme belongs to.

Options come from docs/cli.yaml; who owns them, and the schemes of docs/cli.md § 5, is decided in the tables below.
Run it as ``python core/tools/make_known.py``; a test compares what it makes with what is committed. Needs PyYAML.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ROOT / "core/src/tarragon/plugin/known.py"

# By the "backend" field of cli.yaml.
BACKENDS = {
    "azure": "azure",
    "b2": "b2",
    "cf+http": "cloudfiles",
    "ftp": "lftp",
    "idrived": "idrive",
    "imap": "imap",
    "mf": "mediafire",
    "par2+": "par2",
    "pexpect+scp": "sftp",
    "pexpect+sftp": "sftp",
    "rsync": "rsync",
    "s3": "s3",
    "ssh": "sftp",
    "swift": "swift",
    "webdav": "webdav",
    "webdavs, lftp": "webdav",
}
GPG = """encrypt-key hidden-encrypt-key sign-key encrypt-sign-key encrypt-secret-keyring gpg-binary gpg-options
use-agent use-gpgsm"""
SELECT = """include exclude include-filelist exclude-filelist include-regexp exclude-regexp exclude-device-files
exclude-if-present exclude-older-than exclude-other-filesystems files-from filter-globbing filter-literal filter-regexp
filter-ignorecase filter-strictcase null-separator"""
STATS = "print-statistics no-print-statistics jsonstat progress progress-rate"
CLASSES = "s3-use-deep-archive s3-use-glacier s3-use-glacier-ir s3-use-ia s3-use-onezone-ia s3-use-rrs"
OWNERS = {
    f"--{name}": package
    for package, names in (("gpg", GPG), ("select", SELECT), ("stats", STATS), ("s3-classes", CLASSES))
    for name in names.split()
}
SCHEMES = {
    "amazondrive": "ad",
    "azure": "azure",
    "b2": "b2",
    "box": "box",
    "cloudfiles": "cf+http cf+hubic",
    "dropbox": "dpbx",
    "file": "file",
    "gdrive": "gdrive",
    "hsi": "hsi",
    "idrive": "idrived",
    "imap": "imap imaps",
    "jottacloud": "jottacloud",
    "lftp": "ftp ftps ftpes fish lftp+ftp lftp+ftps lftp+ftpes lftp+sftp lftp+fish lftp+webdav lftp+webdavs lftp+http "
    "lftp+https",
    "mediafire": "mf",
    "mega": "mega megav2 megav3",
    "multi": "multi",
    "ncftp": "ncftp+ftp",
    "onedrive": "onedrive",
    "pydrive": "pydrive gdocs pydrive+gdocs gdata+gdocs",
    "rclone": "rclone",
    "rsync": "rsync",
    "s3": "s3 boto3+s3",
    "sftp": "sftp ssh scp paramiko+sftp paramiko+scp pexpect+sftp pexpect+scp",
    "slate": "slate",
    "swift": "swift pca",
    "sx": "sx",
    "tahoe": "tahoe",
    "webdav": "webdav webdavs http https",
    "xorriso": "xorriso",
}
WRAPPERS = {"gio": "gio", "par2": "par2"}
OTHERS = {
    "cipher": {"gpg": "gpg gpgsm", "plain": "none"},
    "compressor": {"gzip": "gzip", "plain": "none"},
    "executor": {"executors": "inline threads processes"},
    "stats": {"stats": "text jsonstat progress"},
    "suffix": {"gzip": "gz z", "gpg": "gpg g p7m"},
}
HEAD = '''"""Which package an option or a scheme belongs to: data for messages and for reading command lines.

Made by core/tools/make_known.py from docs/cli.yaml; change it there.
"""

from __future__ import annotations

'''
TAIL = '''

def _package(owner: str) -> str:
    return f"tarragon-{owner}"


#: flag → package
OPTIONS = {f"--{name}": _package(owner) for owner, names in _OPTIONS.items() for name in names.split()}
#: flag → the words it takes
TAKES = dict.fromkeys(OPTIONS, 1) | {f"--{name}": 0 for name in _FLAGS.split()} | {"--rename": 2}


def package_for(kind: str, name: str) -> str:
    """The package that brings ``name`` of a kind of plugin, as far as we know; else an empty string."""
    if kind == "filter":
        return OPTIONS.get(f"--{name}", "")
    for owner, names in PLUGINS.get(kind, {}).items():
        if name in names.split():
            return _package(owner)
    return ""
'''


def owner_of(option: dict[str, Any]) -> str:
    """The package, without "tarragon-"."""
    return OWNERS.get(option["name"]) or BACKENDS.get(option.get("backend", ""), "core")


def grouped(options: list[dict[str, Any]]) -> dict[str, str]:
    """package → names of its options, aliases too (long ones: short ones take what the long one takes)."""
    found: dict[str, list[str]] = {}
    for option in options:
        flags = [option["name"], *option["aliases"]]
        found.setdefault(owner_of(option), []).extend(flag[2:] for flag in flags if flag.startswith("--"))
    return {owner: " ".join(sorted(names)) for owner, names in sorted(found.items())}


def table(name: str, rows: dict[str, str], indent: str = "") -> str:
    """A dictionary of package → words as source text."""
    lines = [f"{indent}{name}{{"]
    for key, words in rows.items():
        lines += entry(f'{indent}    "{key}": ', words)
    return "\n".join([*lines, f"{indent}}}"])


def entry(key: str, words: str) -> list[str]:
    """One ``"key": "words",``, in parentheses when it is long."""
    if len(key) + len(words) + 3 <= 120:
        return [f'{key}"{words}",']
    inner = " " * (len(key) - len(key.lstrip()))
    parts = textwrap.wrap(words, 117 - len(key), break_on_hyphens=False)
    texts = [f'"{part} "' for part in parts[:-1]] + [f'"{parts[-1]}"']
    return [f"{key}{texts[0]}", *(f"{inner}{text}" for text in texts[1:-1]), f"{inner}{texts[-1]},"]


def source_text(described: dict[str, Any]) -> str:
    """known.py as it should be."""
    options = [option for option in described["options"] if option["source"] != "man302"]
    flags = " ".join(sorted(option["name"][2:] for option in options if option["nargs"] == 0))
    parts = textwrap.wrap(flags, 110, break_on_hyphens=False)
    kinds = {"backend": SCHEMES, "wrapper": WRAPPERS, **OTHERS}
    return "".join(
        [
            HEAD,
            table("_OPTIONS = ", grouped(options)),
            "\n\n_FLAGS = (\n",
            "".join(f'    "{part} "\n' for part in parts[:-1]) + f'    "{parts[-1]}"\n)\n\n',
            "#: kind of plugin → package → names\nPLUGINS: dict[str, dict[str, str]] = {\n",
            "".join(table(f'"{kind}": ', rows, "    ") + ",\n" for kind, rows in kinds.items()),
            "}\n",
            TAIL,
        ]
    )


def described() -> dict[str, Any]:
    """docs/cli.yaml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs/cli.yaml").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    KNOWN.write_text(source_text(described()), encoding="utf-8")
