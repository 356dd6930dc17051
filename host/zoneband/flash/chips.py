"""The chips that boards carry: what esptool calls them, where their image starts, what they draw.

Currents are of stock MicroPython at 80 MHz with Bluetooth on and advertising, no window open, and
while a window listens. They feed a model (zoneband.flash.energy), not a promise.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """One chip family.

    image_offset: where its image starts in flash (esptool's BOOTLOADER_FLASH_OFFSET); image_id:
    chip id in the image's extended header; idle_ma and listen_ma: see above, with their source."""

    name: str  # as boards/*.toml and `esptool --chip` say it
    title: str  # as esptool prints it
    image_offset: int
    image_id: int
    idle_ma: float
    listen_ma: float
    source: str


_CLASSIC = (
    "31 mA with Bluetooth at 80 MHz: arduino-esp32 issue 5909, one user's board; 95 mA listening: "
    "ESP32-WROOM-32 data sheet, receive 95 to 100 mA at full rate, lower end"
)
_C3 = "77 mA with Bluetooth at 80 MHz, modem sleep off as in stock builds: arduino-esp32 issue 5909"
_S3 = (
    "no measurement of a stock build was found: the C3's, plus 10 mA for the second core (assumed)"
)

CHIPS = {
    chip.name: chip
    for chip in (
        Chip("esp32", "ESP32", 0x1000, 0, 31.0, 95.0, _CLASSIC),
        Chip("esp32s3", "ESP32-S3", 0x0, 9, 87.0, 97.0, _S3),
        Chip("esp32c3", "ESP32-C3", 0x0, 5, 77.0, 84.0, _C3),
    )
}
