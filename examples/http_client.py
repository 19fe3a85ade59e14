"""Ask a server about one picture over HTTP, with nothing but Python: ``http_client.py ADDRESS PICTURE.jpg``."""

import argparse
import json
import urllib.request
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("address", help="such as http://127.0.0.1:8000")
parser.add_argument("picture", type=Path)
asked = parser.parse_args()
try:
    picture = asked.picture.read_bytes()
except OSError as error:
    parser.error(str(error))
request = urllib.request.Request(f"{asked.address}/segment", data=picture, headers={"content-type": "image/jpeg"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between this machine and its drone
with opener.open(request, timeout=10) as response:
    answer = json.load(response)
print(json.dumps(answer["target"]))
