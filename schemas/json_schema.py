"""JSON Schema 2020-12 of every record, for those who write or read topics in another language.

`python -m schemas.json_schema` writes one file a record into `schemas/json/`; a test holds the files against the code.
Fields that a schema does not name are allowed: readers ignore what they do not know.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from schemas.records import RECORDS, Record

FOLDER = Path(__file__).parent / "json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(record: type[Record]) -> dict[str, Any]:
    """The JSON Schema of a record."""
    return {"$schema": DIALECT, **msgspec.json.schema(record)}


def files() -> dict[str, str]:
    """File name (`dead_letter.json`) -> its text, for every record."""
    return {_file_name(record): json.dumps(schema_of(record), indent=2) + "\n" for record in RECORDS}


def _file_name(record: type[Record]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", record.__name__).lower() + ".json"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
