"""Rows as DynamoDB has them: of notifications, and of users' channels."""

from datetime import UTC, datetime

from agents.record import WritePreference
from flows.clients import Item
from schemas.channels import CHANNELS
from schemas.keys import preference_row_key
from tables.progress import Row

KEEP_S = 30 * 24 * 3600
"""Life of a row in the store (its TTL attribute)."""


def _moment(ms: int) -> str:
    """A time as the store has it (ISO 8601). One that no calendar has is 1970: the row is worth more than its time."""
    try:
        found = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        found = datetime.fromtimestamp(0, UTC)
    return found.isoformat(timespec="milliseconds")


def row_item(row: Row) -> Item:
    """A row in DynamoDB's types."""
    item: Item = {
        "notification_id": {"S": row.notification_id},
        "user_id": {"S": row.user_id},
        "tenant": {"S": row.tenant},
        "status": {"S": row.public},
        "step": {"S": row.step},
        "retry_count": {"N": str(row.retry_count)},
        "created_at": {"S": _moment(row.created_ms)},
        "updated_at": {"S": _moment(row.updated_ms)},
        "rank": {"N": str(row.round * 100 + row.rank)},
        "expires_at": {"N": str(row.created_ms // 1000 + KEEP_S)},
    }
    optional = {
        "reason": row.reason,
        "channel": row.channel,
        "provider": row.provider,
        "provider_message_id": row.provider_message_id,
    }
    return item | {name: {"S": value} for name, value in optional.items() if value}


def preference_items(write: WritePreference) -> list[Item]:
    """A user's channels: enabled where there is a verified address and no opt-out from everything."""
    preference = write.preference
    reached = {address.channel for address in preference.addresses if address.verified}
    closed = {choice.channel for choice in preference.opt_outs if choice.out and choice.category == "*"}
    return [
        {
            "user_id": {"S": preference_row_key(preference.tenant, preference.user_id)},
            "channel_type": {"S": channel},
            "is_enabled": {"BOOL": channel in reached and channel not in closed and "*" not in closed},
            "version": {"N": str(preference.version)},
        }
        for channel in CHANNELS
    ]
