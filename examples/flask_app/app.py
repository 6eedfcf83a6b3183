"""A small API on Flask and PyMySQL, written as many are. It works until the connection dies.

DATABASE_URL=mysql://... python -m flask --app examples.flask_app.app run --port 5000
"""

import os
from urllib.parse import unquote, urlsplit

import pymysql
from flask import Flask, request
from pymysql.cursors import Cursor

app = Flask(__name__)
address = urlsplit(os.environ["DATABASE_URL"])

# The bug: one connection, made once, used for ever.
connection = pymysql.connect(
    host=address.hostname or "127.0.0.1",
    port=address.port or 3306,
    user=unquote(address.username or ""),
    password=unquote(address.password or ""),
    database=address.path.strip("/"),
    autocommit=True,
)


def cursor() -> Cursor:
    """Get a cursor; reconnecting does not help here, for nothing can fail here."""
    try:
        return connection.cursor()
    except pymysql.MySQLError:
        connection.ping(reconnect=True)
        return connection.cursor()


@app.get("/")
def find_city() -> str:
    """Tell a city's number."""
    name = request.args.get("city", "")
    with cursor() as cur:
        cur.execute("SELECT city_id FROM city WHERE city = %s", (name,))
        row = cur.fetchone()
    return f'City "{name}" is #{row[0]}' if row else f'City "{name}" not found'


@app.post("/visits")
def add_visit() -> tuple[dict[str, int], int]:
    """Record that somebody was in a city."""
    name = request.form["city"]
    with cursor() as cur:
        cur.execute("INSERT INTO visit (city) VALUES (%s)", (name,))
        return {"visit": int(cur.lastrowid)}, 201
