"""The audit trail (PS3.15 A.5): events as values, messages that tell them, the chain of lines that keeps them. Pure.

An event is made by `events`, recorded by `ports.audit` in the transaction of what it tells, and carried to the file and
to syslog from there.
"""
