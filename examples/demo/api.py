"""The demo's API: keeps the last events in memory and hands them out.

GET /healthz, GET /events, POST /events.  Python's standard library only.
"""

import collections
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EVENTS = collections.deque(maxlen=12)
STARTED = time.time()


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            self.answer({"ok": True})
        elif self.path == "/events":
            self.answer({"pid": os.getpid(), "up": round(time.time() - STARTED), "events": list(EVENTS)})
        else:
            self.answer({"error": f"no route {self.path}"}, status=404)

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        EVENTS.append({**event, "time": time.strftime("%H:%M:%S")})
        self.answer({"stored": len(EVENTS)}, status=201)

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *values):
        if self.path not in ("/events", "/healthz"):
            print(form % values)


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    server = ThreadingHTTPServer(("127.0.0.1", port), Api)
    print(f"api listens on port {port}")
    server.serve_forever()
