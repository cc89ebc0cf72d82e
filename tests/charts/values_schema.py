"""values.schema.json has the schema of tagwarden.yaml in it, docs/schema/config.json, so that Helm refuses what is misspelt in
`config`. TAGWARDEN_BLESS=1 tests/run --only charts writes it anew from there."""

import copy
import json

from cluster import CHART, ROOT

FILE = CHART / "values.schema.json"
CONFIG = ROOT / "docs" / "schema" / "config.json"


def embedded(values, config):
    """The schema of the values, with that of `config` as it is now. Three things are not taken over:
    - `required` and `anyOf` of the whole: the templates fill in `version` and `policies`, and say themselves what of the rest is
      missing; with existingConfigMap there is no `config` at all,
    - addresses with an @ pass: Helm would print them, and the templates refuse them without their password."""
    values, config = copy.deepcopy(values), copy.deepcopy(config)
    values["$schema"] = config.pop("$schema")
    values["$defs"] = config.pop("$defs")
    for definition in values["$defs"].values():
        if "://" in definition.get("pattern", ""):
            definition["pattern"] += "|@"
    assert {config.pop("title"), *config.pop("required")} == {"tagwarden configuration", "version", "upstream", "policies"}
    config.pop("anyOf")
    values["properties"]["config"] = config
    return values


def text(schema):
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
