"""The command line: one file per verb, imports inside the command."""
