"""Column types and functions that both databases have, each under its own name."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, Integer, Text, cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, UserDefinedType

Whole = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both: SQLite gives its row number to nothing but an INTEGER."""


class AnyText(TypeDecorator[str]):
    """Text that may hold NUL, which PostgreSQL does not keep in text (R1): written there as an escape."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name == "sqlite":
            return value
        return value.replace("\\", "\\\\").replace("\0", "\\0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name == "sqlite" or "\\" not in value:
            return value
        return "\\".join(part.replace("\\0", "\0") for part in value.split("\\\\"))


class _Json(UserDefinedType[str]):
    """JSON as it was written: `jsonb` would sort the keys and refuse NUL (R1, R4)."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Read as it stands: the driver would take it apart."""
        return cast(column, Text)


JsonText = Text().with_variant(_Json(), "postgresql")
"""A JSON document as text, that SQL can read."""


class greatest(GenericFunction[Any]):  # noqa: N801 - a function of SQL.
    """The greatest of its arguments; SQLite calls it max, PostgreSQL means the aggregate by that."""

    inherit_cache = True


class least(GenericFunction[Any]):  # noqa: N801 - a function of SQL.
    """The least of its arguments."""

    inherit_cache = True


@compiles(greatest, "sqlite")
def _greatest(element: greatest, compiler: SQLCompiler, **options: Any) -> str:
    return f"max({compiler.process(element.clauses, **options)})"


@compiles(least, "sqlite")
def _least(element: least, compiler: SQLCompiler, **options: Any) -> str:
    return f"min({compiler.process(element.clauses, **options)})"
