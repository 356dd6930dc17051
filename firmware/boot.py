# Nothing here: a band that cannot start its application must still give a REPL to mpremote.
