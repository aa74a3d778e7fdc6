"""python -m oolong.report > docs/result.schema.json: the JSON Schema of result.json."""

import sys

from oolong.report.model import schema_text

if __name__ == "__main__":
    sys.stdout.write(schema_text())
