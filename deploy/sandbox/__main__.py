"""`python -m deploy.sandbox`: the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from deploy.sandbox.ledger import LedgerError
from deploy.sandbox.presets import PRESETS
from deploy.sandbox.server import PortTaken, serve

_GUIDE = """\
providers (one port)
  POST /twilio/2010-04-01/Accounts/{{sid}}/Messages.json   form, Basic (the SID or an SK... key, any secret)
  POST /sendgrid/v3/mail/send                            JSON, Bearer SG.anything
  POST /fcm/v1/projects/{{project}}/messages:send          JSON, Bearer of a token issued below
  POST /oauth/token                                      form: grant_type, assertion (signature not checked)
  Twilio's magic numbers +1500555000x work, as do FCM tokens unregistered-..., invalid-..., mismatch-...

ledger: one JSON line a message request, on file before the answer leaves
  t, t_mono     CLOCK_REALTIME and CLOCK_MONOTONIC, seconds, when the request was read to its end
  provider, channel, to_hash, body_hash (SHA-256 hex), ref (Twilio: ref= of StatusCallback;
                SendGrid: personalizations[0].custom_args.ref; FCM: message.data.ref)
  answer        the status, or the name of the fault
  delay         seconds until the answer leaves
  accepted, id  whether the provider would have sent it, and its id for the message if so

admin
  GET  /health                          200 when ready
  GET  /admin/ledger?since=N&limit=M    {{"total", "next", "rows"}}
  GET  /admin/counts                    per provider: read, accepted, answers
  POST /admin/behave                    {{"provider": "twilio|sendgrid|fcm|oauth|*", "rules": [RULE...]}}
                                        * is the three that carry messages; each gets its own copy
  GET  /admin/behave, DELETE            show, forget
  POST /admin/seed                      {{"seed": 7}}: the same draws again

rule: the first that matches and whose draw falls is applied; none means ok at once
  then          ok | status | hang | reset_before_read | reset_after_read | accept_then_reset |
                accept_then_hang | drip | html_502 | truncated | a name from the table below
                (hang and reset_after_read: not sent; accept_..., drip, truncated: sent, if the request was sound)
  rate          0..1, default 1          times   how often at most
  match         {{"to_hash": ...}} or {{"ref": ...}}
  latency_ms    120, or {{"p50": 120, "p99": 800}} (lognormal)
  status, code, headers, body            for "status"; without a body it is the provider's own shape.
                A header may be {{"epoch_in": 2}}: Unix time 2 s ahead
  accepted      true: the message counts as sent in spite of the fault
  over_ms       how long "drip" takes, default 5000

  curl -X POST localhost:PORT/admin/behave -d '{{"provider": "twilio", "rules": [
    {{"rate": 0.01, "then": "twilio_20429"}}, {{"latency_ms": {{"p50": 120, "p99": 800}}}}]}}'

named answers
{presets}
"""


def _presets() -> str:
    lines = []
    for name, preset in PRESETS.items():
        headers = ", ".join(f"{header}: {value}" for header, value in preset.headers.items())
        lines.append(f"  {name:24} {preset.status} {preset.code or preset.words or ''} {headers}".rstrip())
    return "\n".join(lines)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.sandbox",
        description="Stand-ins for Twilio, SendGrid, FCM and Google's token endpoint.",
        epilog=_GUIDE.format(presets=_presets()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one; the first line printed names it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--ledger", type=Path, metavar="FILE.jsonl", help="kept and taken up again over restarts")
    parser.add_argument("--token-lifetime", type=float, default=3599.0, metavar="S", help="of OAuth tokens, seconds")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        return uvloop.run(serve(arguments.host, arguments.port, arguments.ledger, arguments.token_lifetime))
    except (PortTaken, LedgerError, OSError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
