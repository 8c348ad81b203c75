"""`python -m backend_demo` is `bdemo`."""

from backend_demo.cli.main import main

if __name__ == "__main__":
    main()
