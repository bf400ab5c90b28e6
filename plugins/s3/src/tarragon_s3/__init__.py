"""The backends s3 and boto3+s3."""
