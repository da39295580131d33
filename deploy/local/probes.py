"""Whether a server answers: each probe is one quick question, False as long as nothing useful comes back."""

import socket
import urllib.error
import urllib.request

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

PATIENCE = 1.0  # seconds for one answer


def kafka(port: int) -> bool:
    """Metadata that names a broker. The plain connection first, because librdkafka logs every refused one."""
    if not _listens(port):
        return False
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    try:
        return bool(client.list_topics(timeout=PATIENCE).brokers)
    except KafkaException:
        return False


def redis(port: int) -> bool:
    """PONG; while Redis loads its file it answers -LOADING."""
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def dynamodb(port: int) -> bool:
    """200 to ListTables; DynamoDB Local reads the credential's form but checks no signature."""
    question = urllib.request.Request(
        f"http://127.0.0.1:{port}/",
        data=b"{}",
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.ListTables",
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/dynamodb/aws4_request, "
            "SignedHeaders=host, Signature=local",
        },
    )
    return _answers(question)


def http(port: int, path: str) -> bool:
    """200 to a GET of `path`."""
    return _answers(urllib.request.Request(f"http://127.0.0.1:{port}{path}"))


def _answers(question: urllib.request.Request) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(question, timeout=PATIENCE) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            return True
    except OSError:
        return False
