"""render: templates become parts; a message with a hole in it does not go, and no error shows a value."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.render import Template
from schemas.errors import Malformed
from schemas.vocabulary import Reason

SECRET = "424242"


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
    assert body("{{n}} {{f}}", n=5, f=1.5) == "5 1.5"
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
        "x}}",
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
    with pytest.raises(Malformed, match="there are no partials"):
        body("{{> near}}")


def test_a_missing_param_is_named() -> None:
    with pytest.raises(Malformed, match="no param code"):
        body("Your code is {{code}}")


@pytest.mark.parametrize(
    "source",
    [b"", b"{", b"\xff", b"[]", b"{}", b'{"version":1}', b'{"version":"x","channels":{}}']
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
