"""The real servers that broker-level tests run against: one stack a session, started for the first test to ask."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from deploy.local.children import tail
from deploy.local.stack import Stack, StackError

REPOSITORY = Path(__file__).parent.parent
LIB = REPOSITORY / ".carillon" / "lib"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failure how the logs end that processes of the test have left in its folder."""
    report = yield
    folder = item.funcargs.get("tmp_path")
    if report.failed and folder is not None:
        for path in sorted(folder.rglob("*.log")):
            if not path.stem.isdigit():  # a store numbers its logs, and they are none to read
                report.sections.append((f"the end of {path.relative_to(folder)}", tail(path)))
    return report


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All five servers on empty data; a test that kills one starts a stack of its own."""
    servers = Stack(tmp_path_factory.mktemp("stack"), fresh=True, keep=False, lib=LIB)
    try:
        servers.start()
    except StackError as error:
        pytest.fail(str(error), pytrace=False)
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def kafka(stack: Stack) -> str:
    """Kafka's "host:port"."""
    return stack.addresses.kafka


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    """Redis as "redis://host:port/0"."""
    return f"redis://{stack.addresses.redis}/0"


@pytest.fixture(scope="session")
def dynamodb(stack: Stack) -> str:
    """The URL of DynamoDB Local; any credentials will do."""
    return stack.addresses.dynamodb


@pytest.fixture(scope="session")
def s3(stack: Stack) -> str:
    """The URL of S3, played by moto; any credentials will do."""
    return stack.addresses.s3


@pytest.fixture(scope="session")
def sandbox(stack: Stack) -> str:
    """The URL of the provider sandbox."""
    return stack.addresses.sandbox
