"""One exchange of credentials by the unmodified chalkpy, and where it goes on from there.

usage: exchange.py URL CLIENT, the secret in CHALK_SECRET; prints one JSON object. Run by test_chalk_tokens.py.
"""

import json
import os
import sys

from chalk.client import ChalkClient

url, name = sys.argv[1:]
client = ChalkClient(client_id=name, client_secret=os.environ["CHALK_SECRET"], api_server=url)
try:
    who = client.whoami()
except Exception as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
else:
    # what of an answer decides where its queries go
    print(json.dumps({
        "user": who.user,
        "environment": client._primary_environment,
        "engines": client._env_id_to_engine_url_map,
        "names": client._env_id_to_env_name_map,
    }))
