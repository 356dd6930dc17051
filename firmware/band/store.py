# Small lasting facts in NVS: the serial, the state, the receipt's cursor. NVS keeps old entries
# readable until their page is erased, so no ID key ever comes here.


class Store:
    def __init__(self, nvs):
        self._nvs = nvs

    def get(self, name, default):
        # Unsigned 32-bit number.
        try:
            return self._nvs.get_i32(name) & 0xFFFFFFFF
        except OSError:
            return default

    def put(self, name, value):
        value &= 0xFFFFFFFF
        if self.get(name, None) == value:
            return
        self._nvs.set_i32(name, value - 0x100000000 if value & 0x80000000 else value)
        self._nvs.commit()

    def get_blob(self, name):
        buf = bytearray(64)
        try:
            return bytes(buf[: self._nvs.get_blob(name, buf)])
        except OSError:
            return None

    def put_blob(self, name, value):
        if self.get_blob(name) == bytes(value):
            return
        self._nvs.set_blob(name, value)
        self._nvs.commit()
