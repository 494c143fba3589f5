"""The second wall between workspaces on PostgreSQL: row-level security (R31).

Servers do their work as `APP_ROLE`, which owns nothing and sees in each transaction the
rows of one workspace, however a statement is written: the one that `enter` named. The
role that the store's URL names owns the tables and sees the whole store; it migrates,
reads keys, makes workspaces and looks sessions up, and no call works on events as it.
"""

from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError

from workevo_server.adapters.sql.error_codes import NOT_PERMITTED, error_code
from workevo_server.adapters.sql.migrate import StoreRefused

APP_ROLE = "workevo_app"
_SETTING = "workevo.workspace_no"

ENTER = select(func.set_config(_SETTING, bindparam("workspace_no"), True))  # noqa: FBT003 - SQL's argument.
"""Until the end of the transaction; without it the role sees nothing."""

TABLES_WITH_WORKSPACE = text(
    """SELECT c.oid::regclass::text AS name, c.relispartition AS is_partition,
        c.relrowsecurity AND c.relforcerowsecurity AND count(p.polname) = 2 AS is_walled
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'workspace_no' AND NOT a.attisdropped
    LEFT JOIN pg_policy AS p ON p.polrelid = c.oid AND p.polname IN ('of_workspace', 'whole_store')
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
    GROUP BY c.oid"""
)


def build_wall(connection: Connection) -> None:
    """Let the role do its work and no more, table by table; does nothing where it stands already.

    Raises StoreRefused when the URL's role may neither make it nor become it.
    """
    _have_role(connection)
    schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {APP_ROLE}"))
    connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {APP_ROLE}"))
    for table in connection.execute(TABLES_WITH_WORKSPACE).all():
        if not table.is_walled:
            _wall(connection, table.name, is_partition=table.is_partition)


def _wall(connection: Connection, table: str, *, is_partition: bool) -> None:
    """A partition is read through its parent alone, so the role gets no right to it."""
    statements = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY whole_store ON {table} TO CURRENT_USER USING (TRUE)",
        f"CREATE POLICY of_workspace ON {table} TO {APP_ROLE} USING ({_IS_OF_WORKSPACE})",
    ]
    if not is_partition:
        statements.append(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {APP_ROLE}")
    for statement in statements:
        connection.execute(text(statement))


_IS_OF_WORKSPACE = f"workspace_no = (SELECT NULLIF(current_setting('{_SETTING}', TRUE), '')::bigint)"
_MAKE_ROLE = f"""DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP_ROLE}') THEN
        BEGIN CREATE ROLE {APP_ROLE} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    END IF;
END $$"""
"""Roles are of the whole cluster: a store beside this one may make it at the same moment."""
_SET_APART_FROM = 160_000
"""Since this version who makes a role is its member and may still not become it."""


def _have_role(connection: Connection) -> None:
    version: int = connection.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()
    is_set_apart = version >= _SET_APART_FROM
    right, how = ("SET", " WITH SET TRUE") if is_set_apart else ("MEMBER", "")
    user, quoted_user = connection.execute(text("SELECT CURRENT_USER, quote_ident(CURRENT_USER)")).one()
    may_become = select(func.pg_has_role(user, APP_ROLE, right))
    grant = f"GRANT {APP_ROLE} TO {quoted_user}{how}"
    try:
        connection.execute(text(_MAKE_ROLE))
        if not connection.execute(may_become).scalar():
            connection.execute(text(grant))
        if connection.execute(may_become).scalar():
            return
    except DBAPIError as error:
        if error_code(error) != NOT_PERMITTED:
            raise
    raise StoreRefused(
        f"PostgreSQL's role {user} may not become {APP_ROLE}, as which calls are worked on. "
        f"Let an administrator run: CREATE ROLE {APP_ROLE} NOLOGIN; (unless there is one) {grant};"
    )
