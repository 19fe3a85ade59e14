"""Ask a server about one picture over HTTP, with nothing but Python: ``http_client.py PICTURE.jpg [URL]``."""

import json
import sys
import urllib.request
from pathlib import Path

picture = Path(sys.argv[1]).read_bytes()
url = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8000"
request = urllib.request.Request(f"{url}/segment", data=picture, headers={"content-type": "image/jpeg"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy between this machine and its drone
with opener.open(request, timeout=10) as response:
    answer = json.load(response)
print(json.dumps(answer["target"]))
