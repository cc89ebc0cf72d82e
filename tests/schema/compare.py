"""Holds what the readers say of each document against what a validator says of it by the schema.

usage: compare.py CASES.jsonl; one line a document: {"schema", "document", "complaint": null or {"code", "message"}}
"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator

SCHEMAS = pathlib.Path(__file__).parents[2] / "docs" / "schema"

# What a reader refuses for more than the shape: names that do not exist.
BEYOND = ("unknown-role", "unknown-variable")


def main() -> int:
    validators = {}
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text())
        Draft202012Validator.check_schema(schema)
        validators[path.stem] = Draft202012Validator(schema)
    agreed = refused = 0
    wrong = []
    for line in open(sys.argv[1], encoding="utf-8"):
        case = json.loads(line)
        complaint = case["complaint"]
        fits = validators[case["schema"]].is_valid(case["document"])
        if fits == (complaint is None) or (fits and complaint["code"] in BEYOND):
            agreed += 1
            refused += not fits
        else:
            word = "fits the schema" if fits else "does not fit the schema"
            said = complaint or "it is fine"
            wrong.append(f"{case['schema']}: {json.dumps(case['document'])} {word}, and the reader says: {said}")
    print("\n".join([*wrong[:20], f"{agreed} documents alike ({refused} refused), {len(wrong)} not"]))
    return 1 if wrong or not refused else 0


if __name__ == "__main__":
    sys.exit(main())
