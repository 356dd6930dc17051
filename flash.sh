#!/bin/sh
# From a blank board to a tested band, over USB: one board, or a whole tray. All options are those
# of `zoneband flash`: ./flash.sh --help
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# --lang stands before the verb.
lang=''
case ${1-} in
--lang)
    lang=${2-}
    shift 2 || shift
    ;;
--lang=*)
    lang=${1#--lang=}
    shift
    ;;
esac
if [ -n "$lang" ]; then
    exec "$here/zoneband" --lang "$lang" flash "$@"
fi
exec "$here/zoneband" flash "$@"
