"""Spark, which reads traces where they lie and does work that can be shared out."""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import IO, Any, TypeVar

from joulecast.traces.binning.trace import first_line
from joulecast.traces.errors import InputError
from joulecast.version import VERSION

_START_SETTINGS = {
    "spark.app.name": "joulecast",
    "spark.log.level": "FATAL",  # what goes wrong, one line of ours says
    "spark.ui.showConsoleProgress": "false",
}
_SETTINGS = {
    "spark.sql.caseSensitive": "true",
    # With pruning, a CSV row is only split as far as the wanted columns, whatever follows.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.session.timeZone": "UTC",
}
_MOST_TASKS = 10_000
_PYTHON_ERROR = re.compile(r"^(?:\w+\.)*\w+(?:Error|Exception): .*", re.MULTILINE)
_JAVA_ENDED = re.compile(
    rb'^(?:Exception in thread "main" [\w.$]+: (?=\S)|(?=JAVA_HOME is not set))(.+)', re.MULTILINE
)
_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(\w+)")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Cluster:
    """A Spark, started when it is first asked for.

    Args:
        master: Spark's master URL, such as "spark://host:7077", "yarn" or "local[2]".
    """

    def __init__(self, master: str) -> None:
        self.master = master
        self._is_ours = False

    @cached_property
    def session(self) -> Any:
        """A session of our own; in a Spark that runs already, beside the others.

        Raises:
            InputError: No PySpark, no Java, no cluster, or another Spark runs here.
        """
        try:
            import sqlglot  # noqa: F401 - its questions need it
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise InputError(
                f"Spark needs {error.name}; install it with: pip install 'joulecast[spark]'"
            ) from error
        running = SparkSession.getActiveSession()
        if running is not None and running.sparkContext.master != self.master:
            raise InputError(
                f"Spark runs here already, with the master {running.sparkContext.master}; take "
                "that or stop it"
            )
        builder = SparkSession.builder.master(self.master)
        for key, value in _START_SETTINGS.items():
            builder = builder.config(key, value)
        with _errors_in_a_file() as file:
            try:
                session = builder.getOrCreate() if running is None else running.newSession()
                for key, value in _SETTINGS.items():
                    session.conf.set(key, value)
            except Exception as error:
                reason = _java_says(file) or first_line(error)
                raise InputError(f"Spark does not start with {self.master} ({reason})") from error
        if running is None:
            self._is_ours = True
            if self.master.startswith("local") and "PYSPARK_PYTHON" not in os.environ:
                session.sparkContext.pythonExec = sys.executable
        return session

    def map(self, function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """What a function makes of each item, a task each, in their order.

        Raises:
            InputError: The workers could not do it.
        """
        context = self.session.sparkContext
        work = partial(_work, VERSION, function)
        try:
            tasks = context.parallelize(items, min(len(items), _MOST_TASKS))
            return list(tasks.map(work).collect())
        except Exception as error:
            raise InputError(f"Spark at {self.master}: {said(error)}") from error

    def require_used(self) -> None:
        """Refuse to have been given for nothing.

        Raises:
            InputError: Nobody asked for its session.
        """
        if "session" not in self.__dict__:
            raise InputError(
                f"{self.master}: Spark has nothing to do, since a workload is not read and no "
                "replica is simulated in a task; leave Spark out"
            )

    def stop(self) -> None:
        """End what was started here."""
        if self._is_ours:
            self.session.stop()


@contextmanager
def cluster_at(master: str | None) -> Iterator[Cluster | None]:
    """A Spark while the context is open; None where no master is given.

    Raises:
        InputError: Nobody asked for it.
    """
    if master is None:
        yield None
        return
    cluster = Cluster(master)
    try:
        yield cluster
        cluster.require_used()
    finally:
        cluster.stop()


@contextmanager
def _errors_in_a_file() -> Iterator[IO[bytes]]:
    """A file that has what processes write to standard error which are started meanwhile.

    Java's traces would stand above the one line that says what is wrong.
    """
    with tempfile.TemporaryFile() as file:
        own = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield file
        finally:
            os.dup2(own, 2)
            os.close(own)


def _java_says(file: IO[bytes]) -> str | None:
    """Why Java ended, from what it wrote; None if it says nothing of that."""
    file.seek(0)
    reason = _JAVA_ENDED.search(file.read())
    return None if reason is None else reason[1].decode(errors="replace").strip()[:200]


def said(error: BaseException) -> str:
    """What Spark says is wrong, in a line; of its workers' Python, what that says."""
    text = str(error)
    if lacking := _NO_MODULE.search(text):
        return (
            f"its workers' Python has no {lacking[1]}; install joulecast[spark] {VERSION} where "
            "they run and name that Python in PYSPARK_PYTHON, or leave times unread with "
            "--arrival-column none"
        )
    lines = _PYTHON_ERROR.findall(text) if "Traceback (most recent call last)" in text else ()
    return lines[-1][:200] if lines else first_line(error)


def _work(version: str, function: Callable[[_Item], _Result], item: _Item) -> _Result:
    """What a worker does."""
    if version != VERSION:
        raise RuntimeError(f"the workers have joulecast {VERSION}; install {version} there, too")
    return function(item)
