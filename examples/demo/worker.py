"""The demo's worker: does a job every second and tells the API of its own worktree."""

import itertools
import json
import os
import time
import urllib.request

JOBS = ("resized 3 images", "sent 2 mails", "rebuilt the index", "rolled up the day", "warmed the cache")


def tell(event):
    body = json.dumps(event).encode()
    urllib.request.urlopen(os.environ["API_URL"] + "/events", data=body, timeout=5).close()


if __name__ == "__main__":
    for number in itertools.count(1):
        job = JOBS[number % len(JOBS)]
        try:
            tell({"job": number, "text": job})
            print(f"job {number}: {job}")
        except OSError as error:  # a Procfile knows no order of starting
            print(f"job {number} waits for the API: {error}")
        time.sleep(1)
