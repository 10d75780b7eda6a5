#!/bin/sh
# Analyze a photograph over HTTP: sh curl.sh http://localhost:8080 photo.jpg [tasks=age,gender]
# Prints the reply as JSON; after an error, the error (google.rpc.Status as JSON) with exit code 22.
set -eu
exec curl --silent --show-error --fail-with-body --noproxy localhost,127.0.0.1 \
    --data-binary "@$2" "$1/v1/analyze${3:+?$3}"
