"""What a caller sends beside the body: gRPC's metadata and HTTP's headers, names in lower case."""

Headers = tuple[tuple[str, str | bytes], ...]


def values(headers: Headers, name: str) -> list[str]:
    """All text values sent under one name; HTTP may deliver a name more than once."""
    return [value for key, value in headers if key == name and isinstance(value, str)]
