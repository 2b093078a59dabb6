#!/bin/sh
# Sets the password of Kibana's own user, and makes the user `mlids`, whose role `elastic-install` makes: it may write alerts and nothing else.
# Passwords are handed to curl in files: arguments are seen by all users of a machine.
set -eu
umask 077
printf 'user = "elastic:%s"\n' "$(cat /run/secrets/elastic_password)" > /tmp/login

put() { # path, body on the standard input
  cat > /tmp/body
  curl -sS --fail-with-body -K /tmp/login -X PUT -H 'Content-Type: application/json' --data-binary @/tmp/body -o /tmp/answer \
    "http://elasticsearch:9200/$1" || { echo "Elasticsearch refused $1: $(cat /tmp/answer)"; exit 1; }
}

printf '{"password": "%s"}' "$(cat /run/secrets/kibana_password)" | put _security/user/kibana_system/_password
printf '{"password": "%s", "roles": ["mlids-writer"]}' "$(cat /run/secrets/elastic_mlids_password)" | put _security/user/mlids
