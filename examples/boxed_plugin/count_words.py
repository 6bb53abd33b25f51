"""Counts words: a tool in any language reads a line of JSON and writes lines of JSON."""
import json
import sys

call = json.loads(sys.stdin.readline())
print(json.dumps({"progress": "counting"}), flush=True)
print(json.dumps({"text": "%d words" % len(call["input"]["text"].split())}))
