# Format 0 of the band log: records in clear behind a CRC. The self-test's scratch sector has it;
# logs of the first version did.

from wire import log as layout

_NOTHING = bytes(80)


class OpenSlots:
    format = layout.FORMAT_OPEN
    key_id = 0
    secret = bytes(32)

    def prepare(self, header, group_head):
        # Nothing to do ahead of need.
        return True

    def take(self, header, group_head):
        return _NOTHING

    def slot(self, log_id, sector, slot, record):
        return bytes(record) + layout.tag_open(log_id, sector, slot, record)

    def resume(self, secret):
        pass
