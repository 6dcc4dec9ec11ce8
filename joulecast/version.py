"""The version of joulecast."""

VERSION = "0.2.0"
