"""The command line: options -> settings -> the same calls that a program makes -> a view and an exit code."""
