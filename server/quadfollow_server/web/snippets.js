// Commands and programs that send a frame to this very server.

const written = {
  curl: ({ http }) => `curl --data-binary @frame.jpg -H 'content-type: image/jpeg' '${http}/segment?stream=front&track=1'`,

  python: ({ http }) => `from pathlib import Path

from quadfollow_core.http_client import HttpClient

with HttpClient("${http}") as server:
    print(server.segment(Path("frame.jpg").read_bytes(), stream="front").body["target"])`,

  zeromq: ({ host, zmq }) => `import json
from pathlib import Path

import zmq

with zmq.Context() as context, context.socket(zmq.DEALER) as server:
    server.linger = 0${host.startsWith("[") ? "\n    server.ipv6 = True" : ""}
    server.connect("tcp://${host}:${zmq}")
    header = {"id": 1, "stream": "front", "encoding": "jpeg", "want": ["target", "people", "track"]}
    server.send_multipart([b"qf1", json.dumps(header).encode(), Path("frame.jpg").read_bytes()])
    if server.poll(5000):
        magic, body, *mask = server.recv_multipart()
        print(json.loads(body)["target"])`,
};

export function showSnippets(ports) {
  const http = new URL(".", document.baseURI).href.replace(/\/$/, "");
  for (const [id, write] of Object.entries(written)) {
    document.getElementById(id).textContent = write({ http, host: location.hostname, zmq: ports.zmq });
  }
}

export function startCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.onclick = async () => {
      button.textContent = (await copied(document.getElementById(button.dataset.copy))) ? "Copied" : "Selected";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    };
  }
}

// Browsers let pages copy only where they trust the connection; elsewhere the text is selected, ready for Ctrl-C.
async function copied(element) {
  getSelection().selectAllChildren(element);
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    return false;
  }
}
