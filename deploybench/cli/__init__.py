"""The command line: one module a command.

Each parses, calls the core and renders; none computes.
"""
