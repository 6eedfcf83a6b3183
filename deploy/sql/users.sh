# shellcheck shell=bash
# Runs users.sql on a database container's first start: in /docker-entrypoint-initdb.d, not executable, so
# that the image's entry point reads it into itself. The passwords come as environment variables.

as_text() { # as_text VALUE: an SQL string, whatever characters it has
  echo "CONVERT(x'$(printf %s "$1" | od -An -v -tx1 | tr -d ' \n')' USING utf8mb4)"
}

run_sql() { # the entry point's own client: a function, or in some images an array
  if declare -F docker_process_sql >/dev/null; then
    docker_process_sql
  else
    # shellcheck disable=SC2154
    "${sql[@]}"
  fi
}

{
  echo "SET @app_password = $(as_text "${QUART_APP_DB_PASSWORD:?}");"
  echo "SET @migrate_password = $(as_text "${QUART_APP_DB_MIGRATE_PASSWORD:?}");"
  cat /opt/quart-app/users.sql
} | run_sql
