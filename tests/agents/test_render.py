"""render: templates become parts; a message with a hole in it does not go, and no error shows a value."""

import contextlib
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.render import MAX_SOURCE_BYTES, Template
from schemas.errors import Malformed
from schemas.vocabulary import Reason

SECRET = "424242"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def template(**parts: str) -> Template:
    return Template.read(msgspec.json.encode({"version": 7, "channels": {"email": {"subject": "S", **parts}}}))


def body(text: str, **params: Any) -> str:
    return template(body=text).render("email", params)["body"]


def test_plain_parts_are_not_escaped_and_html_is() -> None:
    made = template(body="Hi {{name}}", html="<p>{{name}} {{{raw}}}</p>").render(
        "email", {"name": "<A & 'B'>", "raw": "<b>"}
    )
    assert made["body"] == "Hi <A & 'B'>"
    assert made["html"] == "<p>&lt;A &amp; &#x27;B&#x27;&gt; <b></p>"
    assert made["subject"] == "S"


def test_numbers_and_truths_are_written_and_sections_repeat() -> None:
    assert body("{{n}} {{f}} {{g}}", n=5, f=1.5, g=1e21) == "5 1.5 1e21"
    for tag in ("{{t}} {{u}}", "{{t}} {{&u}}"):
        assert body(tag, t=True, u=False) == "true false", "as JSON has it"
    assert body("{{#items}}{{name}}, {{/items}}", items=[{"name": "a"}, {"name": "b"}]) == "a, b, "
    assert body("{{^paid}}due{{/paid}}", paid=False) == "due"
    assert body("{{a.b}}", a={"b": "deep"}) == "deep"


@pytest.mark.parametrize("value", ["A & <b>", "", "{{x}}", "é\\n", 5, 1.5, True, False, 0])
@pytest.mark.parametrize(
    "text",
    [
        "{{x}}",
        "a {{x}}b",
        " {{ x }}\n{{x}} {{y}}",
        "{ {{x}} }",
        "{{{x}}}",
        "{{x}}}",
        "{{&x}}",
        "{x}",
        "{",
        "}",
        "",
    ],
)
def test_text_with_variables_alone_is_put_together_as_the_renderer_would(text: str, value: Any) -> None:
    params = {"x": value, "y": "other"}
    mine = template(body=text, html=text).render("email", params)
    other = "-{{! another kind of tag }}-" + text
    by_renderer = template(body=other, html=other).render("email", params)
    assert {part: mine[part] for part in ("body", "html")} == {
        part: by_renderer[part].removeprefix("--") for part in ("body", "html")
    }


def test_what_a_param_holds_is_text_and_never_a_template() -> None:
    assert body("{{name}}", name="{{other}} {{> file}}") == "{{other}} {{> file}}"


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("{{code}}", {}),
        ("{{a.code}}", {"a": {}}),
        ("{{a.upper}}", {"a": SECRET}),
        ("{{#code}}x{{/code}}", {"other": SECRET}),
        ("{{#a}}{{code}}{{/a}}", {"a": {"x": SECRET}}),
        ("{{code}}", {"code": None}),
        ("{{code}}", {"code": {"x": SECRET}}),
        ("{{code}}", {"code": [SECRET]}),
        ("{{> pyproject}}", {"pyproject": SECRET}),
    ],
)
def test_a_hole_is_an_error_that_shows_no_value(text: str, params: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        body(text, **params)
    assert caught.value.reason is Reason.BAD_TEMPLATE
    assert SECRET not in f"{caught.value!r} {caught.value}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a chained error shows its chain"


def test_a_template_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "near.mustache").write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Malformed, match=r"email\.body: .* a partial"):
        body("{{> near}}")


def test_a_missing_param_is_named() -> None:
    with pytest.raises(Malformed, match="no param code"):
        body("Your code is {{code}}")


@pytest.mark.parametrize(
    "text",
    [
        "Your code is {{code",
        "{{code}",
        "code}}",
        "{{}}",
        "{{ }}",
        "{{code and {{name}}",
        "{{#a}}x",
        "x{{/a}}",
        "{{#a}}{{#b}}{{/a}}{{/b}}",
        "Hello {{=x=}}",
        "{{=<% %>=}}",
        "{{> other}}",
        "{{{code}}",
    ],
)
def test_a_tag_that_people_would_read_makes_a_bad_template_which_names_the_part(text: str) -> None:
    with pytest.raises(Malformed, match=r"email\.body") as caught:
        template(body=text)
    assert caught.value.reason is Reason.BAD_TEMPLATE


@pytest.mark.parametrize(
    "text", ["{{! a note }}x", "{{!a {brace}}}x", "{{{code}}}", "{{&code}}", "{{^a}}x{{/a}}", "{ }"]
)
def test_tags_that_are_closed_are_taken(text: str) -> None:
    template(body=text)


@pytest.mark.parametrize("tag", ["{{name}}", "{{&name}}{{! note }}"])
def test_a_subject_and_a_title_keep_to_one_line_whatever_their_params_hold(tag: str) -> None:
    source = {"subject": tag, "title": tag, "body": tag}
    made = Template.read(msgspec.json.encode({"version": 1, "channels": {"email": source, "push": source}}))
    params = {"name": "Ada\r\nBcc: eve@example.org\x00\u2028é"}
    assert made.render("email", params)["subject"] == "Ada Bcc: eve@example.org é"
    assert made.render("push", params)["title"] == "Ada Bcc: eve@example.org é"
    assert made.render("email", params)["body"] == params["name"], "a body has lines"


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("{{#items}}{{#items}}{{#items}}x{{/items}}{{/items}}{{/items}}", {"items": [1] * 1_000}),
        ("{{#items}}" + "x" * 100_000 + "{{/items}}", {"items": [1] * 1_000}),
        ("{{#items}}{{big}}{{/items}}", {"items": [1] * 1_000, "big": "x" * 500_000}),
        ("{{big}}" * 1_000, {"big": "x" * 500_000}),
        ("{{#a}}" * 2_000 + "x" + "{{/a}}" * 2_000, {"a": True}),
    ],
)
def test_what_params_would_blow_up_is_a_bad_template(text: str, params: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        body(text, **params)
    assert caught.value.reason is Reason.BAD_TEMPLATE


def test_a_template_that_is_too_large_is_bad() -> None:
    with pytest.raises(Malformed, match=f"at most {MAX_SOURCE_BYTES}"):
        template(body="x" * MAX_SOURCE_BYTES)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(st.binary(), st.text(alphabet="{}#^/&!=> abc\n", max_size=30)),
    st.dictionaries(st.sampled_from("abc"), JSON),
)
def test_nothing_but_malformed_is_raised_whatever_a_template_and_its_params_are(
    drawn: bytes | str, params: dict[str, Any]
) -> None:
    source = (
        drawn
        if isinstance(drawn, bytes)
        else msgspec.json.encode({"version": 1, "channels": {"email": {"subject": drawn, "body": drawn}}})
    )
    with contextlib.suppress(Malformed):
        made = Template.read(source).render("email", params)
        assert not {"\n", "\r"} & set(made["subject"])


@pytest.mark.parametrize(
    "source",
    [
        b"[" * 50_000,
        b'{"version":0,"channels":{}}',
        b'{"version":99999999999999999999,"channels":{}}',
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"version":1}',
        b'{"version":"x","channels":{}}',
    ]
    + [b'{"version":1,"channels":{"sms":{"body":"{{#a}}x"}}}', b'{"version":1,"channels":{"sms":{"body":"{{/a}}"}}}'],
)
def test_a_template_that_cannot_be_read_is_a_bad_template(source: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        Template.read(source)
    assert caught.value.reason is Reason.BAD_TEMPLATE


def test_a_template_without_a_channel_or_one_of_its_parts_is_bad_for_that_channel() -> None:
    for lacking in (template(body="x"), Template.read(b'{"version":1,"channels":{"sms":{}}}')):
        with pytest.raises(Malformed, match="no parts for sms"):
            lacking.render("sms", {})
    with pytest.raises(Malformed, match="no parts for email"):
        template().render("email", {})


def test_parts_beyond_those_of_the_channel_are_rendered_too() -> None:
    assert template(body="b", html="h", amp="a").render("email", {}).keys() == {"subject", "body", "html", "amp"}


@pytest.mark.parametrize(
    "text",
    [
        "{{" + "a" * 200_000,
        "{{{" + "a" * 200_000,
        "{{!" * 60_000,
        "{{!" + "\n" * 100_000 + "}}",
        " " * 200_000 + "x{{&a}}",
        "{{&a" + "\n" * 100_000 + "b}}",
        "{{" * 100_000,
        "{{a}}" * 40_000 + "{{",
    ],
)
def test_what_the_parser_would_take_minutes_for_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(Malformed, match=r"email\.body"):
        template(body=text)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("{{#items}}" + "{{&empty}}" * 900 + "{{/items}}", {"items": [1] * 900, "empty": ""}),
        ("{{#items}}{{/items}}", {"items": [1] * 100_000}),
        ("{{#items}}{{^empty}}{{/empty}}{{/items}}" * 100, {"items": [1] * 900, "empty": ""}),
    ],
)
def test_what_takes_long_though_it_writes_little_is_a_bad_template(text: str, params: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="a part of over"):
        body(text, **params)


def test_a_long_mail_of_many_items_is_taken() -> None:
    text = "x" * 100_000 + "{{#items}}{{name}}{{#new}}!{{/new}}{{^new}}.{{/new}}{{/items}}"
    assert body(text, items=[{"name": "a", "new": True}] * 200).endswith("a!" * 200)
