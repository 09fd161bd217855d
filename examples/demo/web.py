"""The demo's web server: one page, and /api passed on to the API of the same worktree."""

import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")


def facts():
    """What devrun tells every service: where it runs, and where all the others are."""
    names = [name[: -len("_URL")] for name in os.environ if name.endswith("_URL")]
    names = sorted(name for name in names if f"{name}_PORT" in os.environ)
    return {
        "worktree": os.environ.get("DEVRUN_WORKTREE", os.getcwd()),
        "slot": os.environ.get("DEVRUN_SLOT"),
        "offset": os.environ.get("DEVRUN_OFFSET"),
        "services": [{"name": name.lower(), "url": os.environ[f"{name}_URL"]} for name in names],
    }


class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            with open(PAGE, "rb") as page:
                self.answer(page.read(), "text/html; charset=utf-8")
        elif self.path == "/facts":
            self.answer(json.dumps(facts()).encode())
        elif self.path.startswith("/api/"):
            self.pass_on(os.environ["API_URL"] + self.path[len("/api") :])
        else:
            self.answer(b"{}", status=404)

    def pass_on(self, url):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                self.answer(answer.read(), status=answer.status)
        except OSError as error:
            self.answer(json.dumps({"error": str(error)}).encode(), status=502)

    def answer(self, body, kind="application/json", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *values):
        if self.path == "/":
            print(form % values)


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    server = ThreadingHTTPServer(("127.0.0.1", port), Web)
    print(f"web listens on http://localhost:{port}")
    server.serve_forever()
