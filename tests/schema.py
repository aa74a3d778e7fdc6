"""result.json against its schema and its types."""

import json
from typing import Any

import jsonschema

from oolong.report.model import CellReport
from tests.support import CHECKOUT

FILE = CHECKOUT / "docs" / "result.schema.json"


def check(document: dict[str, Any]) -> None:
    """Fail if a result.json is not what docs/result.schema.json says, or loses something as a CellReport."""
    schema = json.loads(FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    assert CellReport.from_json(document, where="result.json").as_json() == document
