"""result.json against its schema."""

import json
from typing import Any

import jsonschema

from tests.support import CHECKOUT


def check(document: dict[str, Any]) -> None:
    """Fail if a result.json is not what docs/result.schema.json says."""
    schema = json.loads((CHECKOUT / "docs" / "result.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
