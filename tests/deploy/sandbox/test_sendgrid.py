from __future__ import annotations

import json
from hashlib import sha256

import pytest
from python_http_client.exceptions import BadRequestsError, UnauthorizedError
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import CustomArg, Mail

PATH = "/sendgrid/v3/mail/send"


def mail(**changes):
    whole = {
        "personalizations": [{"to": [{"email": "ann@example.com"}], "custom_args": {"ref": "n-7"}}],
        "from": {"email": "us@example.com"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Dear Ann"}],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def send(box, value, key="SG.test", content_type="application/json"):
    headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type}
    return box.call("POST", PATH, value if isinstance(value, bytes) else json.dumps(value).encode(), headers)


def sdk_mail(to="ann@example.com"):
    built = Mail("us@example.com", to, "Hello", plain_text_content="Dear Ann")
    built.personalizations[0].add_custom_arg(CustomArg("ref", "n-8"))
    return built


def test_the_sdk_takes_the_answer_for_an_accepted_mail(box):
    since = box.total()
    answer = SendGridAPIClient("SG.test", host=f"{box.url}/sendgrid").send(sdk_mail())
    assert (answer.status_code, answer.body) == (202, b"")
    (row,) = box.rows(since)
    assert answer.headers["X-Message-Id"] == row["id"]
    assert (row["provider"], row["channel"], row["ref"]) == ("sendgrid", "email", "n-8")
    assert row["to_hash"] == sha256(b"ann@example.com").hexdigest()
    assert row["body_hash"] == sha256(b"Dear Ann").hexdigest()
    assert "ann@" not in str(row)
    assert "Dear" not in str(row)


def test_the_sdk_raises_on_a_bad_address_and_on_a_bad_key(box):
    with pytest.raises(BadRequestsError):
        SendGridAPIClient("SG.test", host=f"{box.url}/sendgrid").send(sdk_mail("ann@nowhere"))
    with pytest.raises(UnauthorizedError):
        SendGridAPIClient("nonsense", host=f"{box.url}/sendgrid").send(sdk_mail())


TO = [{"email": "ann@example.com"}]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"personalizations": None}, "personalizations"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{"to": TO}] * 1001}, "personalizations"),
        ({"personalizations": [{"to": TO * 600}, {"to": TO * 401}]}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": TO}, {"to": [{"email": "a b"}]}]}, "personalizations.1.to.0.email"),
        ({"personalizations": [{"to": TO, "cc": [{"email": 1}]}]}, "personalizations.0.cc.0.email"),
        ({"personalizations": [{"to": {"email": "a@b.c"}}]}, "personalizations.0.to"),
        ({"from": None}, "from.email"),
        ({"from": {"email": "us"}}, "from.email"),
        ({"subject": None}, "subject"),
        ({"content": None}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
    ],
)
def test_a_400_names_the_field(box, changes, field):
    reply = send(box, mail(**changes))
    (error,) = reply.json()["errors"]
    assert (reply.status, error["field"]) == (400, field)
    assert error["message"]
    assert error["help"].startswith("http")


def test_a_template_needs_no_subject_and_no_content(box):
    assert send(box, mail(subject=None, content=None, template_id="d-1")).status == 202


def test_a_thousand_recipients_go(box):
    assert send(box, mail(personalizations=[{"to": TO}] * 1000)).status == 202


def test_sandbox_mode_checks_and_sends_nothing(box):
    since = box.total()
    assert send(box, mail(mail_settings={"sandbox_mode": {"enable": True}})).status == 200
    assert box.rows(since)[0]["accepted"] is False


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"text"', b"\xff"])
def test_what_is_no_mail_is_400_and_a_row_without_names(box, body):
    since = box.total()
    assert send(box, body).status == 400
    assert box.rows(since)[0]["to_hash"] is None


def test_key_type_path_and_method_are_checked(box):
    assert send(box, mail(), key="nonsense").status == 401
    assert send(box, mail(), content_type="text/plain").status == 415
    assert box.call("POST", "/sendgrid/v3/mail").status == 404
    assert box.call("GET", PATH).status == 405
