"""Which package an option or a scheme belongs to: data for messages and for reading command lines.

Made by core/tools/make_known.py from docs/cli.yaml; change it there.
"""

from __future__ import annotations

_OPTIONS = {
    "azure": "azure-blob-tier azure-max-block-size azure-max-connections azure-max-single-put-size",
    "b2": "b2-hide-files",
    "cloudfiles": "cf-backend",
    "core": "allow-source-mismatch archive-dir asynchronous-upload backend-retry-delay check-remote compare-data "
    "compression concurrency config-dir copy-blocksize copy-links current-time dry-run encryption file-changed "
    "file-prefix file-prefix-archive file-prefix-jsonstat file-prefix-manifest file-prefix-signature "
    "files-changed force full-if-n-inc full-if-older-than help help-backup help-cleanup help-collection-status "
    "help-full help-inc help-list-current-files help-remove-all-but-n-full help-remove-all-inc-of-but-n-full "
    "help-remove-older-than help-restore help-urls help-verify ignore-errors log-fd log-file log-timestamp "
    "max-blocksize metadata-sync-mode name no-check-remote no-compression no-encryption no-files-changed "
    "no-restore-ownership num-retries numeric-owner path-to-restore pydevd rename restore-ownership "
    "restore-time show-changes-in-set skip-if-no-change skip-volume tempdir time time-separator timeout "
    "verbosity version volsize",
    "gpg": "encrypt-key encrypt-secret-keyring encrypt-sign-key gpg-binary gpg-options hidden-encrypt-key sign-key "
    "use-agent use-gpgsm",
    "idrive": "idr-fakeroot",
    "imap": "imap-full-address imap-mailbox",
    "lftp": "ftp-passive ftp-regular",
    "mediafire": "mf-purge",
    "par2": "par2-options par2-redundancy par2-volumes",
    "rsync": "rsync-options",
    "s3": "s3-endpoint-url s3-kms-grant s3-kms-key-id s3-multipart-chunk-size s3-multipart-max-procs s3-region-name "
    "s3-unencrypted-connection s3-use-server-side-encryption s3-use-server-side-kms-encryption",
    "s3-classes": "s3-use-deep-archive s3-use-glacier s3-use-glacier-ir s3-use-ia s3-use-onezone-ia s3-use-rrs",
    "select": "exclude exclude-device-files exclude-filelist exclude-if-present exclude-older-than "
    "exclude-other-filesystems exclude-regexp files-from filter-globbing filter-ignorecase filter-literal "
    "filter-regexp filter-strictcase include include-filelist include-regexp null-separator",
    "sftp": "scp-command sftp-command ssh-askpass ssh-options",
    "stats": "jsonstat no-print-statistics print-statistics progress progress-rate",
    "swift": "mp-segment-size swift-storage-policy",
    "webdav": "ssl-cacert-file ssl-cacert-path ssl-no-check-certificate webdav-headers",
}

_FLAGS = (
    "allow-source-mismatch asynchronous-upload b2-hide-files check-remote compare-data compression copy-links "
    "dry-run encryption exclude-device-files exclude-other-filesystems files-changed filter-globbing "
    "filter-ignorecase filter-literal filter-regexp filter-strictcase force ftp-passive ftp-regular help "
    "help-backup help-cleanup help-collection-status help-full help-inc help-list-current-files "
    "help-remove-all-but-n-full help-remove-all-inc-of-but-n-full help-remove-older-than help-restore help-urls "
    "help-verify ignore-errors imap-full-address jsonstat log-timestamp mf-purge no-check-remote no-compression "
    "no-encryption no-files-changed no-print-statistics no-restore-ownership null-separator numeric-owner "
    "print-statistics progress pydevd restore-ownership s3-unencrypted-connection s3-use-deep-archive "
    "s3-use-glacier s3-use-glacier-ir s3-use-ia s3-use-onezone-ia s3-use-rrs s3-use-server-side-encryption "
    "s3-use-server-side-kms-encryption skip-if-no-change ssh-askpass ssl-no-check-certificate use-agent use-gpgsm "
    "version"
)

#: kind of plugin → package → names
PLUGINS: dict[str, dict[str, str]] = {
    "backend": {
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
        "lftp": "ftp ftps ftpes fish lftp+ftp lftp+ftps lftp+ftpes lftp+sftp lftp+fish lftp+webdav lftp+webdavs "
        "lftp+http lftp+https",
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
    },
    "wrapper": {
        "gio": "gio",
        "par2": "par2",
    },
    "cipher": {
        "gpg": "gpg gpgsm",
        "plain": "none",
    },
    "compressor": {
        "gzip": "gzip",
        "plain": "none",
    },
    "executor": {
        "executors": "inline threads processes",
    },
    "stats": {
        "stats": "text jsonstat progress",
    },
    "suffix": {
        "gzip": "gz z",
        "gpg": "gpg g p7m",
    },
}


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
