"""Python runs this at its start where this folder is in PYTHONPATH: from then on sockets reach this computer alone."""

import sys
from ipaddress import ip_address

TO_AN_ADDRESS = ("socket.connect", "socket.sendto", "socket.sendmsg")
TO_A_NAME = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


def is_local(host: str) -> bool:
    """Whether a host, by name or number, is this computer."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host in ("", "localhost")
    return address.is_loopback or address.is_unspecified


def refuse(event: str, arguments: tuple) -> None:
    """An audit hook, which nothing can take away again."""
    if event in TO_AN_ADDRESS and isinstance(arguments[1], tuple):  # a Unix socket's address is a path
        host = arguments[1][0]
    elif event in TO_A_NAME:
        host = arguments[0] or ""
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    if not is_local(host):
        raise PermissionError(f"the network is cut: {host} is not this computer")


sys.addaudithook(refuse)
