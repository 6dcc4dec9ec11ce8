"""What is wrong with a file that is being written anew, before the file is named."""


class Fault(Exception):  # noqa: N818 - becomes an InputError where the file's name is known
    """Why no rows can be made of a file, and what to do."""
