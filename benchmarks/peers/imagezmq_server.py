"""imagezmq: a hub that answers each picture before it takes the next."""

import sys

import imagezmq
from work import Work

work = Work()
hub = imagezmq.ImageHub(open_port=f"tcp://127.0.0.1:{sys.argv[1]}")
while True:
    _, jpeg = hub.recv_jpg()
    hub.send_reply(work(bytes(jpeg)))
