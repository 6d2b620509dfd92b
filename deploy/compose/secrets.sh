#!/bin/sh
# Writes .env with passwords and a token of your own, once. Docker's compose reads it by itself.
set -eu
cd "$(dirname "$0")"
[ ! -e .env ] || exit 0
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
{
  echo COMPOSE_PROJECT_NAME=saga
  for name in POSTGRES_PASSWORD SAGA_PASSWORD INVENTORY_PASSWORD PAYMENT_PASSWORD ORDERS_PASSWORD \
    SAGA_OPERATOR_TOKEN GRAFANA_PASSWORD; do
    echo "$name=$(random)"
  done
} > .env
echo "wrote deploy/compose/.env: SAGA_OPERATOR_TOKEN in it opens the dashboard"
