"""A board's facts in words."""

from collections.abc import Callable

from zoneband.flash.board import Battery, Board, Button, Image, Layout, Power
from zoneband.i18n import _, number


def name(fact: str) -> str:
    """What a fact is about."""
    names = {
        "chip": _("chip"),
        "flash_kib": _("flash"),
        "usb": _("USB"),
        "image": _("image"),
        "layout": _("layout"),
        "battery": _("battery"),
        "radio": _("radio"),
        "led": _("light"),
        "vibration": _("motor"),
        "buzzer": _("buzzer"),
        "button": _("button"),
        "power": _("cable and charger"),
        "i2c": _("I2C bus"),
        "rtc": _("clock chip"),
        "pmu": _("power chip"),
        "uart": _("serial line"),
    }
    return names.get(fact, fact)


def value(board: Board, fact: str) -> str:
    """A fact of a board; "" for one that it has not."""
    words: dict[str, Callable[[Board], str]] = {
        "chip": lambda b: b.about.title,
        "flash_kib": lambda b: f"{b.flash_kib // 1024} MB",
        "usb": lambda b: _("by the chip itself") if b.usb == "native" else _("by a bridge chip"),
        "image": lambda b: _image(b.image),
        "layout": lambda b: _layout(b.layout),
        "battery": lambda b: _battery(b.battery),
        "radio": lambda b: _radio(b.radio.rssi_offset_db),
        "led": lambda b: _lit(b.led.pin, b.led.active) if b.led else "",
        "vibration": lambda b: _pin(b.vibration.pin) if b.vibration else "",
        "buzzer": lambda b: _pin(b.buzzer.pin) if b.buzzer else "",
        "button": lambda b: _button(b.button) if b.button else "",
        "power": lambda b: _power(b.power) if b.power else "",
        "i2c": lambda b: _lines(SDA=b.i2c.sda, SCL=b.i2c.scl) if b.i2c else "",
        "rtc": lambda b: _chip(b.rtc.chip, b.rtc.address) if b.rtc else "",
        "pmu": lambda b: _chip(b.pmu.chip, b.pmu.address) if b.pmu else "",
        "uart": lambda b: _lines(TX=b.uart.tx, RX=b.uart.rx) if b.uart else "",
    }
    return words[fact](board) if fact in words else ""


def _radio(offset_db: int) -> str:
    return _("{n} dB are added to what it reports").format(n=offset_db)


def _pin(pin: int) -> str:
    return f"GPIO {pin}"


def _lines(**pins: int) -> str:
    return ", ".join(f"{line}: {_pin(pin)}" for line, pin in pins.items())


def _chip(chip: str, address: int) -> str:
    return _("{chip} at address {address}").format(chip=chip.upper(), address=f"0x{address:02X}")


def _lit(pin: int, active: str) -> str:
    level = _("lit by a high level") if active == "high" else _("lit by a low level")
    return f"{_pin(pin)}, {level}"


def _button(button: Button) -> str:
    kind = _("touch key") if button.kind == "touch" else _("push button")
    level = _("pressed: high level") if button.active == "high" else _("pressed: low level")
    return f"{kind}, {_pin(button.pin)}, {level}"


def _power(power: Power) -> str:
    found = {_("cable"): power.vbus_pin, _("charger"): power.charge_pin}
    return ", ".join(f"{what}: {_pin(pin)}" for what, pin in found.items() if pin is not None)


def _image(image: Image) -> str:
    return _("{file}, version {version}, written to {offset}, SHA-256 {hash}, from {url}").format(
        file=image.file,
        version=image.version,
        offset=f"0x{image.offset:X}",
        hash=image.sha256 or _("not known"),
        url=image.get,
    )


def _layout(layout: Layout) -> str:
    return _("{app} KiB for the image, {vfs} KiB for files, the rest for the band's log").format(
        app=layout.app, vfs=layout.vfs
    )


def _battery(battery: Battery) -> str:
    fitted = _("comes with the board") if battery.fitted else _("assumed: none comes with it")
    parts = [f"{battery.mah} mAh", fitted]
    if battery.adc_pin is not None and battery.divider_permille is not None:
        parts.append(
            _("measured at {pin}, at 1/{ratio} of its voltage").format(
                pin=_pin(battery.adc_pin), ratio=number(battery.divider_permille / 1000)
            )
        )
    return ", ".join(parts)
