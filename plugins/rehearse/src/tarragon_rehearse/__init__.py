"""Command rehearse: restores that nobody needs yet."""
