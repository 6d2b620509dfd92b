#!/bin/bash
# Runs once, when the data folder is empty: a role, with a password of its own, and a database for the orchestrators and
# for each service, which no other role may open.
set -euo pipefail
superuser=(psql --username "${POSTGRES_USER:-postgres}" --dbname postgres --quiet --set ON_ERROR_STOP=1)
for role in saga inventory payment orders; do
  password=${role^^}_PASSWORD
  "${superuser[@]}" --set role="$role" --set password="${!password}" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
SQL
done
"${superuser[@]}" <<'SQL'
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', datname) FROM pg_database WHERE datallowconn AND datname <> 'template1' \gexec
SQL
