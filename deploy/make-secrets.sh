#!/usr/bin/env bash
# Makes the secrets of docker-compose.airflow.yml in secrets/, once: files that are there stay. No value is printed.
# The folder is for its owner alone; the files can be read by all, as each container reads its own under another user id.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077
mkdir -p secrets
chmod 700 secrets

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
held() { cat "secrets/$1"; }
secret() { # name, value; without a line end, which Airflow would take for a part of it
  [ -e "secrets/$1" ] || printf '%s' "$2" > "secrets/$1"
  chmod 444 "secrets/$1"
}

for name in postgres_password redis_password elastic_password kibana_password elastic_mlids_password mlflow_password \
  mlflow_secret_key airflow_jwt_secret airflow_api_secret kibana_encryption_key mlids_bundle_key; do
  secret "$name" "$(random)"
done
secret airflow_fernet_key "$(random)=" # 32 bytes in URL-safe base64, padded

postgres="mlids:$(held postgres_password)@postgres"
secret redis_conf "requirepass $(held redis_password)"
secret airflow_database_url "postgresql+psycopg2://$postgres/airflow"
secret airflow_result_backend "db+postgresql+psycopg2://$postgres/airflow"
secret airflow_broker_url "redis://:$(held redis_password)@redis:6379/0"
secret mlids_database_url "postgresql+psycopg2://$postgres/mlids"
secret mlids_elastic_url "http://mlids:$(held elastic_mlids_password)@elasticsearch:9200"
secret mlids_mlflow_tracking_uri "http://mlids:$(held mlflow_password)@mlflow:5000"
secret mlflow_auth_ini "[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:////mlflow/auth.db
admin_username = mlids
admin_password = $(held mlflow_password)
auth_cache_ttl_seconds = 60" # a password is hashed slowly: not for each of the hundred requests of a training

if [ -e secrets/sensor_key ]; then
  chmod 444 secrets/sensor_key
else
  echo "now put the private key of the sensors into secrets/sensor_key and run this again"
fi
