"""`workevo` and `python -m workevo_server`."""

from workevo_server.settings import quieten_grpc_core


def main() -> None:
    quieten_grpc_core()
    from workevo_server.cli import run

    run()


if __name__ == "__main__":
    main()
