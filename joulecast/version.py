"""The version of joulecast."""

VERSION = "0.3.0"
