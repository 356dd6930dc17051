"""Boards: one TOML file each, held against a schema; and what a band is told of its own board."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from zoneband.errors import ExitCode, UserError
from zoneband.flash.chips import CHIPS, Chip
from zoneband.i18n import _
from zoneband.reasons import said

BOARDS = Path(__file__).parents[1] / "boards"

Pin = Annotated[int, Field(ge=0, le=48)]
I2cAddress = Annotated[int, Field(ge=0x08, le=0x77)]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(_Facts):
    """The MicroPython image: its file's name and version, where it goes (bytes), the SHA-256 of
    the real file ("" while nobody computed it), and where to get it."""

    file: str = Field(pattern=r"^[A-Za-z0-9._-]+\.bin$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    offset: Literal[0x0, 0x1000]
    sha256: str = Field(pattern=r"^([0-9a-f]{64})?$")
    get: str = Field(pattern=r"^https://")


class Layout(_Facts):
    """Sizes in KiB of the image's own partition and of the file system; the band log takes the
    rest of the flash."""

    app: int = Field(ge=1024, multiple_of=64)
    vfs: int = Field(ge=256, multiple_of=4)


class Light(_Facts):
    """An LED. active: the level that lights it."""

    pin: Pin
    active: Literal["high", "low"]


class Output(_Facts):
    """A motor or a buzzer: driven high."""

    pin: Pin


class Button(_Facts):
    """What a finger can reach."""

    kind: Literal["button", "touch"]
    pin: Pin
    active: Literal["high", "low"]


class Battery(_Facts):
    """mah: capacity; fitted: whether the board is sold with it, else what we assume;
    adc_pin and divider_permille (battery voltage over the pin's, in thousandths) where a pin can
    measure it."""

    mah: int = Field(gt=0, le=20000)
    fitted: bool
    adc_pin: Pin | None = None
    divider_permille: int | None = Field(default=None, ge=1000, le=20000)

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.adc_pin is None) != (self.divider_permille is None):
            raise ValueError("adc_pin and divider_permille belong together")
        return self


class Power(_Facts):
    """Pins that see the cable's power and the charger at work."""

    vbus_pin: Pin | None = None
    charge_pin: Pin | None = None


class I2c(_Facts):
    """The bus of clock and power chips."""

    sda: Pin
    scl: Pin


class Rtc(_Facts):
    """A clock chip on the bus. The BM8563 has the PCF8563's registers."""

    chip: Literal["pcf8563", "bm8563"]
    address: I2cAddress


class Pmu(_Facts):
    """A power chip on the bus: it knows battery and cable."""

    chip: Literal["axp192", "axp202"]
    address: I2cAddress


class Uart(_Facts):
    """Pins of the REPL's UART, where a bridge sits on them."""

    tx: Pin
    rx: Pin


class Radio(_Facts):
    """rssi_offset_db: to be added to what this board reports, 0 until it was measured."""

    rssi_offset_db: int = Field(ge=-40, le=40)


class Board(_Facts):
    """One board. Every fact has its source; what nobody has seen on hardware is listed."""

    name: str = Field(pattern=r"^[a-z0-9-]{3,12}$")  # 12 bytes of HELLO_OK
    title: str
    chip: str
    flash_kib: int = Field(ge=4096, le=32768, multiple_of=1024)
    usb: Literal["bridge", "native"]
    unverified: list[str]
    image: Image
    layout: Layout
    battery: Battery
    radio: Radio
    led: Light | None = None
    vibration: Output | None = None
    buzzer: Output | None = None
    button: Button | None = None
    power: Power | None = None
    i2c: I2c | None = None
    rtc: Rtc | None = None
    pmu: Pmu | None = None
    uart: Uart | None = None
    sources: dict[str, str]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.chip not in CHIPS:
            raise ValueError(f"chip is one of {', '.join(CHIPS)}")
        if self.image.offset != self.about.image_offset:
            raise ValueError(f"the image of this chip goes to {self.about.image_offset:#x}")
        if (self.rtc or self.pmu) and not self.i2c:
            raise ValueError("rtc and pmu need i2c")
        if self.usb == "bridge" and not self.uart:
            raise ValueError("a board with a bridge needs uart")
        tables = [name for name in self.model_fields_set if isinstance(getattr(self, name), _Facts)]
        bare = [
            name for name in ("chip", "flash_kib", "usb", *tables) if not self.sources.get(name)
        ]
        if bare:
            raise ValueError(f"no source for {', '.join(sorted(bare))}")
        return self

    @property
    def about(self) -> Chip:
        """Its chip."""
        return CHIPS[self.chip]

    def facts(self) -> dict[str, Any]:
        """What board.json tells the firmware (band/board.py): pins and chips, nothing by name."""
        found: dict[str, Any] = {"name": self.name}
        if self.led:
            found |= {"led_pin": self.led.pin, "led_on": int(self.led.active == "high")}
        if self.vibration:
            found["vibration_pin"] = self.vibration.pin
        elif self.buzzer:
            found["buzzer_pin"] = self.buzzer.pin
        if self.battery.adc_pin is not None:
            found |= {
                "battery_pin": self.battery.adc_pin,
                "battery_divider_permille": self.battery.divider_permille,
            }
        if self.power and self.power.vbus_pin is not None:
            found["vbus_pin"] = self.power.vbus_pin
        if self.uart and self.usb == "bridge":
            found |= {"uart_tx_pin": self.uart.tx, "uart_rx_pin": self.uart.rx}
        if self.i2c:
            found |= {"sda_pin": self.i2c.sda, "scl_pin": self.i2c.scl}
        if self.rtc:
            found |= {"rtc": self.rtc.chip, "rtc_address": self.rtc.address}
        if self.pmu:
            found |= {"pmu": self.pmu.chip, "pmu_address": self.pmu.address}
        return found


def load(path: Path) -> Board:
    """A board's file. Raises UserError naming the file and each fact that is wrong."""
    try:
        board = Board(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(
            _("{path} cannot be read: {error}").format(path=path, error=said(error)), ExitCode.USAGE
        ) from error
    except ValidationError as error:
        wrong = "; ".join(
            ".".join(map(str, each["loc"])) + (": " if each["loc"] else "") + each["msg"]
            for each in error.errors()
        )
        raise UserError(
            _("{path} is no board: {wrong}").format(path=path, wrong=wrong), ExitCode.USAGE
        ) from error
    if board.name != path.stem:
        raise UserError(
            _("{path} is no board: {wrong}").format(path=path, wrong=f"name: {board.name}"),
            ExitCode.USAGE,
        )
    return board


def every(folder: Path = BOARDS) -> Iterator[Board]:
    """All boards, by the names of their files."""
    for path in sorted(folder.glob("*.toml")):
        yield load(path)


def find(name: str, folder: Path = BOARDS) -> Board:
    """A board by its name. Raises UserError when there is none."""
    path = folder / f"{name}.toml"
    if not path.exists():
        names = ", ".join(board.name for board in every(folder))
        raise UserError(
            _("There is no board {name}. Boards are: {names}").format(name=name, names=names),
            ExitCode.USAGE,
        )
    return load(path)
