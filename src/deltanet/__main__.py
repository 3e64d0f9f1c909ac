"""`python -m deltanet` is the command `deltanet`."""

from deltanet._cli import main

if __name__ == "__main__":
    main()
