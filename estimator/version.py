"""The version of joulecast."""

VERSION = "0.1.8"
