"""Command check: what stands at the target, compared with what the manifests say."""
