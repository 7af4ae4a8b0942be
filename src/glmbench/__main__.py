"""`python -m glmbench` is the command line."""

from glmbench.cli import main

if __name__ == "__main__":
    main()
