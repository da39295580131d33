"""DynamoDB throttles, takes a part of what it is given, or fails."""

import json
from collections.abc import Callable, Iterator
from random import Random

from fault import fault
from proxy import FAIR, Weather
from scene import Scene

REFUSALS = {
    400: b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}',
    500: b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"sorry"}',
    503: b"",
}


@fault(35, of="store", lasts_s=(5.0, 12.0))
def strike(scene: Scene, draw: Random) -> Iterator[None]:
    """Rows are written again until they are taken; deliveries do not notice."""
    scene.servers.dynamodb.set(Weather(answer=_answers(Random(draw.random()))))
    yield
    scene.servers.dynamodb.set(FAIR)


def _answers(draw: Random) -> Callable[[bytes], bytes | None]:
    def answer(request: bytes) -> bytes | None:
        """Nothing taken, something refused, or let through."""
        lot = draw.random()
        if lot < 0.3:
            return None
        if lot < 0.6 and b"BatchWriteItem" in request:
            asked = json.loads(request.partition(b"\r\n\r\n")[2])["RequestItems"]
            return _http(200, json.dumps({"UnprocessedItems": asked}).encode())
        status = draw.choice(list(REFUSALS))
        return _http(status, REFUSALS[status])

    return answer


def _http(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d x\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )
