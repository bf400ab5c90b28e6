"""The questions that this plugin asks others: packages answer them from the group ``tarragon_s3.extension``."""

# A spec has no body: mypy need not miss one.
# mypy: disable-error-code=empty-body

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tarragon.api import hookspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tarragon.api import Context, Role


class S3Hooks:
    """What others may add to an upload, and how what is archived comes back."""

    @hookspec
    def s3_put_arguments(self, role: Role, name: str, context: Context) -> Mapping[str, Any]:
        """Arguments for the upload of one object, as boto3's put_object and create_multipart_upload take them.

        Asked once for each object. Of two answers for one argument the one of the plugin registered later counts. ::

            @hookimpl
            def s3_put_arguments(role, context):
                return {"StorageClass": "STANDARD_IA"} if role is Role.VOLUME else {}
        """

    @hookspec(firstresult=True)
    def s3_restore_request(self, context: Context) -> Mapping[str, Any] | None:
        """How to ask that an archived object becomes readable: the RestoreRequest of boto3's restore_object.

        Asked when the backend is opened. Whoever answers makes the backend claim COLD; without an answer nothing is
        ever asked back from an archive. ::

            @hookimpl
            def s3_restore_request(context):
                return {"Days": 7, "GlacierJobParameters": {"Tier": "Bulk"}}
        """
