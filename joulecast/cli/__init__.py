"""The `joulecast` command, a file a command."""
