"""One file a vendor, found by discovery: its request, its code table, its credential.

Each ends with `PROVIDER = <its class>`. None opens a socket, reads a clock or imports another.
"""
