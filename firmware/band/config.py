# The radio schedule and the table's size: data with checked ranges, in config.json.
#
# A bad file or value never stops a band: it runs on the defaults and says so in `problem`.

import json
import os

from wire.settings import RANGES, check


class Config:
    adv_interval_ms = 0
    window_ms = 0
    period_ms = 0
    silent_s = 0
    table_slots = 0

    def __init__(self, path="config.json"):
        self._path = path
        self.problem = ""
        for name in RANGES:
            setattr(self, name, RANGES[name][0])
        try:
            with open(path) as f:
                values = json.load(f)
        except OSError:
            return
        except ValueError:
            self.problem = "config.json cannot be read; defaults are used"
            return
        if not isinstance(values, dict):
            self.problem = "config.json cannot be read; defaults are used"
            return
        for name in values:
            try:
                check(name, values[name])
            except ValueError as error:
                self.problem = str(error)
            else:
                setattr(self, name, values[name])

    def set(self, name, value):
        # Raises ValueError naming the range; written so that a cut leaves the old file or the
        # new one, whole.
        check(name, value)
        setattr(self, name, value)
        values = {}
        for each in RANGES:
            values[each] = getattr(self, each)
        with open(self._path + ".new", "w") as f:
            json.dump(values, f)
        os.rename(self._path + ".new", self._path)
