"""Errors of the clients that commands use, as errors of ours that say which setting to look at."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaException

from flows.settings import Settings
from schemas.errors import Misconfigured


@contextmanager
def reached(settings: Settings) -> Iterator[None]:
    """Raises Misconfigured for whatever Kafka, DynamoDB or S3 do not do for us within."""
    try:
        yield
    except KafkaException as error:
        words = error.args[0].str()
        raise Misconfigured(f"Kafka at {settings.kafka} (CARILLON_KAFKA): {words}; is it up?") from None
    except (BotoCoreError, ClientError) as error:
        places = f"{settings.dynamodb} (CARILLON_DYNAMODB) or {settings.s3} (CARILLON_S3)"
        raise Misconfigured(f"the store at {places} refused ({type(error).__name__}): is it up?") from None
