-- The two database users of quart-app, with no more rights than each needs. MySQL 8+ and MariaDB 10.6+.
-- Run once by an administrator, after choosing two passwords; may be run again:
--
--   mysql --init-command="SET @app_password = '...', @migrate_password = '...'" < users.sql
--
-- Another schema than quart_app: replace `quart\_app` below (the backslash: a bare _ is a wildcard here).

CREATE DATABASE IF NOT EXISTS `quart_app` CHARACTER SET utf8mb4;

-- `quart-app serve`: reads and writes rows, and can change no table. Nothing else is needed: ending its
-- own statements (KILL), seeing its own threads in information_schema.processlist and SHOW GLOBAL STATUS
-- take no privilege. Don't give it SUPER, CONNECTION_ADMIN or (MariaDB) READ_ONLY ADMIN: writes to a
-- server that became read-only would then succeed, and go unnoticed.
SET @statement = CONCAT('CREATE USER IF NOT EXISTS ''quart_app''@''%'' IDENTIFIED BY ', QUOTE(@app_password));
PREPARE make_user FROM @statement;
EXECUTE make_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON `quart\_app`.* TO 'quart_app'@'%';

-- `quart-app migrate` and `quart-app seed`: makes and changes tables, too.
SET @statement = CONCAT('CREATE USER IF NOT EXISTS ''quart_app_migrate''@''%'' IDENTIFIED BY ', QUOTE(@migrate_password));
PREPARE make_user FROM @statement;
EXECUTE make_user;
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES
  ON `quart\_app`.* TO 'quart_app_migrate'@'%';
DEALLOCATE PREPARE make_user;

-- Where the server offers TLS, have both use it:
--   ALTER USER 'quart_app'@'%' REQUIRE SSL;
-- A share of max_connections for the app (replicas * workers * maxsize, and one per worker for KILL):
--   ALTER USER 'quart_app'@'%' WITH MAX_USER_CONNECTIONS 88;
-- MySQL's group replication: the app then sees when a writer has lost its majority:
--   GRANT SELECT ON performance_schema.replication_group_members TO 'quart_app'@'%';
