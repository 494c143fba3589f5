"""The command `workevo-simulator`."""

from workevo_simulator.cli import app
from workevo_simulator.own_server import end_on_sigterm


def main() -> None:
    end_on_sigterm()
    app()


if __name__ == "__main__":
    main()
