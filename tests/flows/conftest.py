"""What the flows' doors open onto: settings for the real stores, in tables and a bucket of the test's own."""

import uuid

import pytest

from flows.settings import Settings


@pytest.fixture
def settings(dynamodb: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with tables and a bucket that nobody else has; any credentials will do."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    mine = uuid.uuid4().hex[:8]
    return Settings(
        dynamodb=dynamodb,
        s3=s3,
        bucket=f"templates-{mine}",
        logs_table=f"Logs-{mine}",
        preferences_table=f"Preferences-{mine}",
    )
