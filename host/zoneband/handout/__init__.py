"""Handing bands out: who wears one, what they agreed to, and what becomes of a band.

Whatever is known of a person leaves this computer's memory only as a record that is sealed to the
authority. Nothing of it is written in clear: no table, no log, no temporary file.
"""
