"""A model server on a free loopback port that answers with what it was asked (OpenAI's API, streamed).

Prints its base URL. The first question that says "think" is never answered: its client is killed then.
"""

import http.server
import json
import sys
import threading

thinking = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = [m["content"] for m in request["messages"] if m["role"] == "user"]
        last = said[-1]
        if not isinstance(last, str):
            last = " ".join(part.get("text", "") for part in last)
        if "think" in last and not thinking.is_set():
            thinking.set()
            print("thinking", file=sys.stderr, flush=True)
            self.rfile.read(1)  # until the client is gone
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        text = f"I heard {len(said)} message(s), the last: {last}"
        for delta, reason in (({"role": "assistant", "content": text}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "fake", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
server.serve_forever()
