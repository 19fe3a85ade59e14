"""vidgear: NetGear in its two-way mode; an answer goes back with the next exchange."""

import sys

import cv2
from vidgear.gears import NetGear
from work import Work

work = Work()
gear = NetGear(
    address="127.0.0.1", port=sys.argv[1], protocol="tcp", pattern=1, receive_mode=True, bidirectional_mode=True
)
answer = None
while True:
    received = gear.recv(return_data=answer)
    if received is None:
        break
    number, frame = received
    if frame is not None:
        mask = work.classes(cv2.resize(frame, work.size)[None])[0]
        answer = [number, int((mask == 2).sum())]
gear.close()
