"""The command `workevo-simulator`."""

from workevo_simulator.cli import app


def main() -> None:
    app()


if __name__ == "__main__":
    main()
