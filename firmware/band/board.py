# The band's own hardware, as board.json says it: pins, battery divider, cues. Flashing writes
# that file; a pin that a board has not is left out, and what needs it does nothing.

import json

from wire.compat import const

# A passive buzzer's loudest band, at half of full swing.
_BUZZER_HZ = const(2700)
_BUZZER_DUTY = const(32768)


class Board:
    def __init__(self, machine, path="board.json"):
        try:
            with open(path) as f:
                facts = json.load(f)
        except (OSError, ValueError):
            facts = {}
        self.name = facts.get("name", "unknown")
        self._led_on = facts.get("led_on", 1)
        self._divider = facts.get("battery_divider_permille", 2000)
        self.led = self._pin(machine, facts.get("led_pin"), True)
        self.motor = self._pin(machine, facts.get("vibration_pin"), True)
        self.buzzer = None
        if facts.get("buzzer_pin") is not None:
            self.buzzer = machine.PWM(machine.Pin(facts["buzzer_pin"]), freq=_BUZZER_HZ, duty_u16=0)
        self._vbus = self._pin(machine, facts.get("vbus_pin"), False)
        self.rtc = self.power = None  # chips of band/parts.py
        if facts.get("sda_pin") is not None:
            from . import parts

            self.rtc, self.power = parts.find(machine, facts)
        # The pins of the REPL's UART where a bridge sits on them; none with native USB.
        self.uart_pins = None
        if facts.get("uart_tx_pin") is not None:
            self.uart_pins = facts["uart_tx_pin"], facts["uart_rx_pin"]
        self._adc = None
        if facts.get("battery_pin") is not None:
            self._adc = machine.ADC(machine.Pin(facts["battery_pin"]), atten=machine.ADC.ATTN_11DB)
        self.light(False)

    def _pin(self, machine, number, out):
        if number is None:
            return None
        return machine.Pin(number, machine.Pin.OUT if out else machine.Pin.IN)

    def has_vbus(self):
        return self._vbus is not None or self.power is not None

    def on_power(self):
        # Whether the cable brings power; a board that cannot tell says no.
        if self._vbus is not None:
            return bool(self._vbus.value())
        try:
            return self.power is not None and self.power.on_power()
        except OSError:
            return False

    def when_power_changes(self, call):
        if self._vbus:
            self._vbus.irq(call)

    def battery_mv(self):
        # Median of 8, since the radio's current shows in single readings; 0 when unknown.
        if self.power is not None:
            try:
                return self.power.battery_mv()
            except OSError:
                return 0
        if self._adc is None:
            return 0
        readings = sorted(self._adc.read_uv() for _ in range(8))
        return readings[4] * self._divider // 1000 // 1000

    def light(self, on):
        if self.led:
            self.led.value(self._led_on if on else 1 - self._led_on)

    def buzz(self, on):
        if self.motor:
            self.motor.value(1 if on else 0)
        if self.buzzer:
            self.buzzer.duty_u16(_BUZZER_DUTY if on else 0)
