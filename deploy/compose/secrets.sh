#!/bin/sh
# Writes .env with a password and a token of your own, once. Docker's compose reads it by itself.
set -eu
cd "$(dirname "$0")"
[ ! -e .env ] || exit 0
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
printf 'COMPOSE_PROJECT_NAME=saga\nPOSTGRES_PASSWORD=%s\nSAGA_OPERATOR_TOKEN=%s\n' "$(random)" "$(random)" > .env
echo "wrote deploy/compose/.env: SAGA_OPERATOR_TOKEN in it opens the dashboard"
