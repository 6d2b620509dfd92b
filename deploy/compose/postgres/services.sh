#!/bin/bash
# Runs once, when the data folder is empty: a role and a database for each service, which no other role may open.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_USER" --set ON_ERROR_STOP=1 --set password="$POSTGRES_PASSWORD" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', service, :'password') FROM unnest('{inventory,payment,orders}'::text[]) AS service \gexec
SELECT format('CREATE DATABASE %I OWNER %I', service, service) FROM unnest('{inventory,payment,orders}'::text[]) AS service \gexec
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', datname) FROM pg_database WHERE datallowconn AND datname <> 'template1' \gexec
SQL
