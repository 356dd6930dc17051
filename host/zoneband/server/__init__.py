"""The tracing server: holds enrolments and logs, answers whom a case met."""
