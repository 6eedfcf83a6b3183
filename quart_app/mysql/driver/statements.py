"""Statements: written as SQL, sent alone or together with those that were put off, and answered.

What an answer is made of is answers.py's. Noted here is what each statement may leave behind in the
session; what follows from that is decided in connection.py.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from pymysql.constants import CLIENT, COMMAND
from pymysql.converters import escape_bytes
from pymysql.err import InterfaceError, MySQLError

from quart_app.mysql import journal
from quart_app.mysql.driver.answers import AnswerReader
from quart_app.mysql.driver.naming import as_database_error, unsent
from quart_app.mysql.driver.session_text import sets_next_transaction, touches_session
from quart_app.mysql.driver.values import Deferred, Result
from quart_app.mysql.errors import ConnectionLost, DatabaseError
from quart_app.mysql.reply import Reply, ReplyError

DRAIN_ABOVE_BYTES = 64 * 1024
SEQUENCES = frozenset((tuple, list, set, frozenset))
BEGIN = "BEGIN"
NEXT = b";\n"  # between statements that are sent together


class StatementRunner(AnswerReader):
    """A connection that runs statements, each until its deadline, and names what goes wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dirty = False  # a statement may have left something behind in the session
        self._deferred: list[Deferred] = []

    async def run(self, sql: str, args: Any = None, *, text: bool = False) -> Result:
        """Send one statement and read its whole answer; with *text*, values as the server wrote them.

        Waits until the ambient deadline. Raises the errors of errors.py. Cancelled while the
        server works, it closes the connection; the pool then kills the statement there.
        """
        data = self._written(sql, args)
        try:
            return await self._run(data, touches=sql, text=text)
        except Exception as exc:
            raise self._named(exc) from exc

    async def stream(self, sql: str, args: Any = None) -> AsyncGenerator[tuple[Any, ...], None]:
        """Send one statement and yield its rows as they come, holding one at a time.

        Waits, raises and is cancelled as run(). Left before the last row, the connection cannot be
        used again: it is closed, and the statement killed, on release.
        """
        query = sql if args is None else sql % self._escaped(args)
        try:
            await self.query(query, unbuffered=True)
            result = self._result
            while result.unbuffered_active:
                row = await result._read_rowdata_packet_unbuffered()
                if row is not None:
                    yield row
        except Exception as exc:
            raise self._named(exc) from exc

    async def query(self, sql: Any, unbuffered: bool = False) -> int:
        if isinstance(sql, str):
            sql = sql.encode(self.encoding, "surrogateescape")
        await self._execute_command(COMMAND.COM_QUERY, bytes(sql))
        await self._read_query_result(unbuffered=unbuffered)
        return int(self._affected_rows or 0)

    def _named(self, exc: Exception) -> DatabaseError:
        """Our name for what went wrong in the middle of a statement.

        Anything but an error of the driver's own means that it and the server no longer agree on
        what comes next: that connection is of no more use.
        """
        error = as_database_error(exc)
        if error is None:
            self.abort()
            error = ConnectionLost("the answer could not be read", sent=True)
        return error

    # -- deferred: sent with the next ---------------------------------------------------------

    def defer(self, sql: str, args: Any = None) -> Deferred:
        """Have one statement sent together with the next, ahead of it: one round trip for both.

        The server carries out what is sent together in its order, and stops where one fails: none
        after that is begun. What failed is raised by the call of the next statement. For statements
        of one answer (no CALL), and BEGIN, which ends the connection if it fails.
        """
        deferred = Deferred(sql, _to_be_followed(self._written(sql, args)))
        self._deferred.append(deferred)
        return deferred

    @property
    def deferred(self) -> Sequence[Deferred]:
        """What goes out with the next statement."""
        return self._deferred

    def forget_deferred(self) -> bool:
        """Send nothing of what was deferred; tell whether a transaction was to begin with it."""
        begins, self._deferred = self._begins(), []
        return begins

    async def flush(self) -> None:
        """Send what was deferred, one statement after the other."""
        try:
            await self._flush()
        except Exception as exc:
            raise self._named(exc) from exc

    def _begins(self) -> bool:
        return bool(self._deferred) and self._deferred[0].sql == BEGIN

    @property
    def _ahead(self) -> Sequence[Deferred]:
        """What can be sent in one packet with the next statement: all or nothing.

        Galera looks only between packets whether another server's write has ended the transaction:
        of statements in one packet the rest would run outside of it, and COMMIT say OK.
        """
        together = self.server.is_alone and self.server_capabilities & CLIENT.MULTI_STATEMENTS
        return self._deferred if together else ()

    async def _flush(self) -> None:
        waiting, self._deferred = self._deferred, []
        for statement in waiting:
            try:
                statement.result = await self._run(statement.data, touches=statement.sql)
            except MySQLError as exc:
                self._note_failed(statement, exc)
                raise

    async def _settle(self, statement: Deferred) -> None:
        """Read the answer to a statement that was sent ahead of another."""
        try:
            reply = await self._read_reply(self._column)
        except MySQLError as exc:
            self._note_failed(statement, exc)
            raise
        if not reply.more:
            raise ReplyError("fewer answers than statements")
        statement.result = _result_of(reply)

    def _note_failed(self, statement: Deferred, exc: MySQLError) -> None:
        statement.error = as_database_error(exc)
        if statement.sql == BEGIN:
            self.abort()  # what came next would be outside of a transaction

    # -- sending ------------------------------------------------------------------------------

    async def _run(self, query: bytes, *, touches: str = "", text: bool = False) -> Result:
        ahead = self._ahead
        touching = touches.encode() or query
        await self._execute_command(COMMAND.COM_QUERY, query, touches=touching, ahead=ahead)
        for statement in ahead:
            await self._settle(statement)
        reply = await self._read_reply(self._text_column if text else self._column)
        more = reply.more
        while more:  # CALL ends with an OK packet of its own
            more = (await self._read_reply(self._column)).more
        return _result_of(reply)

    async def _execute_command(
        self,
        command: int,
        sql: Any,
        *,
        touches: bytes = b"",
        ahead: Sequence[Deferred] = (),
    ) -> None:
        """Send a command. Raises, with nothing sent, if this connection may not or cannot be used."""
        if self._deferred and not ahead:
            await self._flush()
        self._ensure_alive()
        if self._reader._waiter is not None or self._draining:
            raise unsent(InterfaceError("This connection is in use by another task"))
        self._set_deadline()
        payload = sql.encode(self._encoding) if isinstance(sql, str) else sql
        if not self._unfinished():
            self._ensure_heard_nothing()
        joined = (
            NEXT.join([*(statement.data for statement in ahead), payload]) if ahead else payload
        )
        self._ensure_fits(joined)
        for statement in ahead:
            self._note_effects(command, statement.sql.encode())
        self._note_effects(command, touches or payload)
        if ahead:
            self._deferred = []
        await super()._execute_command(command, joined)
        if len(joined) > DRAIN_ABOVE_BYTES:
            await self._drain()

    def _note_effects(self, command: int, text: bytes) -> None:
        if command == COMMAND.COM_QUERY:
            journal.sent(self, text)
            if sets_next_transaction(text):
                self._next_transaction_set = True
            elif touches_session(text):
                self._dirty = True
        elif command != COMMAND.COM_PING:
            self._dirty = True

    # -- values in SQL ------------------------------------------------------------------------

    def escape(self, obj: Any) -> Any:
        """Write a value as SQL. aiomysql's own fails on bytes and on ``IN %s`` since PyMySQL 1.2."""
        if type(obj) is int:
            return str(obj)
        if isinstance(obj, bytes | bytearray):
            return escape_bytes(bytes(obj))
        if type(obj) in SEQUENCES:
            return f"({','.join(map(self.escape, obj))})"
        return super().escape(obj)

    def _escaped(self, args: Any) -> Any:
        if isinstance(args, tuple | list):
            return tuple(self.escape(arg) for arg in args)
        if isinstance(args, dict):
            return {key: self.escape(value) for key, value in args.items()}
        return self.escape(args)

    def _written(self, sql: str, args: Any) -> bytes:
        query = sql if args is None else sql % self._escaped(args)
        return query.encode(self._encoding, "surrogateescape")


def _result_of(reply: Reply) -> Result:
    return Result(
        reply.rows, tuple(reply.columns), reply.affected_rows, reply.insert_id, tuple(reply.kinds)
    )


def _to_be_followed(statement: bytes) -> bytes:
    """A statement that another may follow: without a semicolon, and with an end to its comment."""
    bare = statement.rstrip(b"; \t\r\n")
    return bare + b"\n" if b"--" in bare or b"#" in bare else bare
