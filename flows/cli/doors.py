"""Errors of the clients that commands use, as errors of ours that say which setting to look at, or what to run."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from confluent_kafka import KafkaException

from flows.refusal import refusal
from flows.settings import Settings
from schemas.errors import Misconfigured, Unreachable

_MISSING = ("ResourceNotFoundException", "NoSuchBucket", "NoSuchKey")


@contextmanager
def reached(settings: Settings) -> Iterator[None]:
    """Raises Unreachable where Kafka, DynamoDB or S3 do not answer within, Misconfigured where they refuse."""
    places = f"{settings.dynamodb} (CARILLON_DYNAMODB) or {settings.s3} (CARILLON_S3)"
    try:
        yield
    except KafkaException as error:
        raise refusal(settings.kafka, error.args[0]) from None
    except TimeoutError:
        raise Unreachable(f"no answer in time from Kafka at {settings.kafka} (CARILLON_KAFKA)") from None
    except NoCredentialsError:
        raise Misconfigured(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set for DynamoDB and S3: local servers take any value"
        ) from None
    except ClientError as error:
        code, words = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        more = ". `carillon setup` makes what has to be there" if code in _MISSING else f", {words}"
        raise Misconfigured(f"{places} refused: {code}{more}") from None
    except BotoCoreError as error:
        raise Unreachable(f"no answer from {places}: {type(error).__name__}") from None
