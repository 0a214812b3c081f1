#!/bin/sh
ENV="${1:-${ENV:-}}" exec sh "$(dirname "$0")/deploy/run.sh" deploy
