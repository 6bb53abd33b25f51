"""Serves a GGUF model on a free loopback port with llama.cpp's HTTP server (OpenAI's API).

Run with: python serve_model.py MODEL.gguf
Prints the base URL on one line when it is ready. Ends when its parent process does, however that
ended: nothing stays behind, also after `kill -9`.
"""

import os
import signal
import sys
import time

import xllamacpp

parent = os.getppid()
# Ctrl-C is for the program that uses the server; the server ends after it.
signal.signal(signal.SIGINT, signal.SIG_IGN)

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {"smollm2"}
params.hostnames = ["127.0.0.1"]
params.port = 0  # a free one
params.n_ctx = 4096
params.n_parallel = 2
params.use_jinja = True
# One thread that sleeps while it waits: two that spin are far slower on a busy machine.
for threads in (params.cpuparams, params.cpuparams_batch):
    threads.n_threads = 1
    threads.poll = 0

server = xllamacpp.Server(params)  # returns when the model is loaded
print(server.listening_address + "/v1", flush=True)

while os.getppid() == parent:
    time.sleep(0.2)
# The engine's own shutdown waits for open requests; their client is gone.
os._exit(0)
