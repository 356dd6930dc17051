"""Benchmarks: each row is a figure that the README quotes, with the bar it must hold."""
