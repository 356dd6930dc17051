"""Apache Spark over Spark Connect (sc://HOST:PORT): the same questions on as many machines as the
encounters need. Spark reads the Parquet files itself: it must have them at the same paths.

PySpark is an extra (requirements/spark.txt); it needs no Java here, only where Spark runs.
"""

import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from zoneband.tracing import steps
from zoneband.tracing.engine import COLUMNS, Fault, shown

_ANSWERS_S = 20
# Of a call that Spark did not take: four times within some seconds, then whoever asks is told.
_RETRIES = {"max_retries": 3, "initial_backoff": 200, "max_backoff": 2000}
_NOT_THERE = ("PATH_NOT_FOUND", "FILE_NOT_EXIST", "FileNotFoundException")
_NOT_REACHED = ("StatusCode.UNAVAILABLE", "StatusCode.UNIMPLEMENTED", "RETRIES_EXCEEDED")
_TYPES = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}
_SAID_CHARACTERS = 200
_SETTINGS = {
    # A file that is missing or cut must not be an answer with fewer rows.
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.ansi.enabled": "true",
    # parquet-java to 1.17 cannot unpack LZ4's dictionaries of over 8 KB there (its issue 3478).
    "parquet.filter.dictionary.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
}


class SparkSession:
    """One session on a Spark Connect server; as zoneband.tracing.engine.Session says."""

    def __init__(self, url: str, spark: Any, parts: "_Parts") -> None:
        """url: where spark, a pyspark.sql.connect.session.SparkSession, is connected to."""
        self._url = url
        self._spark = spark
        self._failures = parts.errors.PySparkException, parts.grpc.RpcError
        self._folder = ""
        with self._faults():
            for name, value in _SETTINGS.items():
                spark.conf.set(name, value)

    def segments(self, files: Sequence[Path]) -> set[Path]:
        """The view `segments`; files whose footers cannot be read here are left out."""
        unreadable = {path for path in files if not _readable(path)}
        good = [_location(path) for path in files if path not in unreadable]
        self._folder = os.path.commonpath([path.resolve().parent for path in files] or ["/"])
        # With the columns named, those that a file lacks are NULL.
        schema = ", ".join(f"{name} BIGINT" for name in COLUMNS)
        with self._faults():
            if good:
                self._spark.read.schema(schema).parquet(*good).createOrReplaceTempView("segments")
            else:
                self.put("segments", pa.schema([(n, pa.int64()) for n in COLUMNS]).empty_table())
        return unreadable

    def put(self, name: str, made: pa.Table) -> None:
        """Make or replace a table; it goes to Spark with the first question that reads it."""
        with self._faults():
            if made.num_rows:
                self._spark.createDataFrame(made).createOrReplaceTempView(name)
                return
            # PySpark makes no table without rows.
            columns = ", ".join(
                f"CAST(NULL AS {_TYPES[field.type]}) AS {field.name}" for field in made.schema
            )
            self._spark.sql(
                f"CREATE OR REPLACE TEMPORARY VIEW {name} AS SELECT {columns} WHERE 1 = 0"
            )

    def run(self, sql: str) -> None:
        """Run a statement."""
        with self._faults():
            self._spark.sql(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer. Steps that several others read are made once: Spark would write
        each out wherever it stands, so that contacts.sql read the encounters forty times and took
        half a minute to plan."""
        with self._faults():
            made: list[str] = []
            try:
                before, rest = steps.split(sql)
                for step in before:
                    found = self._spark.sql(step.sql).localCheckpoint()
                    found.createOrReplaceTempView(step.name)
                    made.append(step.name)
                found = self._spark.sql(rest).toArrow()
            finally:
                for name in reversed(made):
                    self._spark.catalog.dropTempView(name)
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    @contextmanager
    def _faults(self) -> Generator[None]:
        # What Spark or the way to it says, as a Fault.
        try:
            yield
        except self._failures as error:
            said = str(error)
            engine = shown(self._url)
            if any(name in said for name in _NOT_THERE):
                raise Fault("engine_path", engine=engine, folder=self._folder) from error
            if any(name in said for name in _NOT_REACHED):
                raise Fault("engine_silent", engine=engine) from error
            lines = said.strip().splitlines() or [type(error).__name__]
            raise Fault("engine_failed", engine=engine, said=lines[0][:_SAID_CHARACTERS]) from error


class _Parts(NamedTuple):
    # PySpark's modules: without the extra there are none, so they are named nowhere else.
    grpc: Any
    errors: Any
    client: Any
    retries: Any
    session: Any


def installed(url: str) -> None:
    """Raises Fault when PySpark, or a part that it needs, is not installed."""
    _parts(url)


def _parts(url: str) -> _Parts:
    names = (
        "grpc", "pyspark.errors", "pyspark.sql.connect.client",
        "pyspark.sql.connect.client.retries", "pyspark.sql.connect.session",
    )  # fmt: skip
    try:
        return _Parts(*map(import_module, names))
    except ImportError as error:
        raise Fault("engine_missing", engine=shown(url)) from error


@contextmanager
def session(url: str) -> Generator[SparkSession]:
    """A session that ends with its block. Raises Fault when PySpark is not installed, when nobody
    answers at the URL, or something that is not Spark Connect."""
    parts = _parts(url)
    try:
        builder = parts.client.DefaultChannelBuilder(url)
        channel = builder.toChannel()
    except parts.errors.PySparkException as error:
        raise Fault("engine_url", wrong=True, engine=shown(url)) from error
    try:
        parts.grpc.channel_ready_future(channel).result(timeout=_ANSWERS_S)
    except parts.grpc.FutureTimeoutError as error:
        raise Fault("engine_silent", engine=shown(url)) from error
    finally:
        channel.close()
    # Made so it is this thread's session, without which PySpark reads no checkpoint.
    spark = parts.session.SparkSession.builder.channelBuilder(builder).create()
    try:
        spark.client.set_retry_policies([parts.retries.DefaultPolicy(**_RETRIES)])
        yield SparkSession(url, spark, parts)
    finally:
        spark.stop()


def _location(path: Path) -> str:
    # Not a URI: Hadoop takes the path as it is, but for what could stand for several.
    return "file://" + re.sub(r"([\\\[\]{}*?,])", r"\\\1", str(path.resolve()))


def _readable(path: Path) -> bool:
    try:
        pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    return True
