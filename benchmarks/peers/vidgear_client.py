"""A camera that streams by vidgear's NetGear: PORT 1 HZ SECONDS; ages count from when the answered frame was due.

It sends its newest frame once the last exchange is over. An answer comes with the next exchange, so one more frame is
sent in the end.
"""

import json
import sys
import time

import cv2
import numpy as np
from vidgear.gears import NetGear

WARM_UP = 0.5

if __name__ == "__main__":
    port, _, hz, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    frame = cv2.imdecode(np.frombuffer(sys.stdin.buffer.read(), np.uint8), cv2.IMREAD_COLOR)
    gear = NetGear(address="127.0.0.1", port=port, protocol="tcp", pattern=1, bidirectional_mode=True)
    for _ in range(3):
        gear.send(frame)  # until the other side is there
    begin = time.monotonic()
    ages, heard, number = [], 0, 1
    while (number := max(number, int((time.monotonic() - begin) * hz))) <= (WARM_UP + seconds) * hz:
        due = begin + number / hz
        time.sleep(max(0.0, due - time.monotonic()))
        answer = gear.send(frame, message=number)
        if answer and (answer[0] or 0) > heard:
            heard = answer[0]
            if heard >= WARM_UP * hz:
                ages.append(round(1000 * (time.monotonic() - begin - heard / hz), 3))
        number += 1
    gear.close()
    json.dump([{"offered": round(seconds * hz), "ages": ages, "outcomes": {"result": len(ages)}}], sys.stdout)
