"""python -m oolong.report > docs/result.schema.json: the JSON Schema of result.json."""

import sys

from oolong.errors import OolongError
from oolong.host import output
from oolong.report.model import schema_text

if __name__ == "__main__":
    try:
        output.write(schema_text())
    except OolongError as error:
        print(f"oolong.report: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except output.ReaderGone:
        sys.exit(output.READER_GONE)
