"""Times sqlite-vec's search: the ten closest of the folder's vectors for each of its queries.

Needs the package sqlite-vec; the folder holds `vectors` and `queries`, little-endian floats.
"""

import os
import sqlite3
import sys
import time

import sqlite_vec

folder, dimensions = sys.argv[1], int(sys.argv[2])


def rows(name):
    with open(os.path.join(folder, name), "rb") as file:
        while row := file.read(4 * dimensions):
            yield row


db = sqlite3.connect(os.path.join(folder, "vec.db"))
db.enable_load_extension(True)
sqlite_vec.load(db)
db.execute(f"CREATE VIRTUAL TABLE t USING vec0(v float[{dimensions}] distance_metric=cosine)")
with db:
    db.executemany("INSERT INTO t (v) VALUES (?)", ((row,) for row in rows("vectors")))
times = []
for query in list(rows("queries"))[:50]:
    began = time.perf_counter()
    db.execute("SELECT rowid, distance FROM t WHERE v MATCH ? AND k = 10", (query,)).fetchall()
    times.append((time.perf_counter() - began) * 1e3)
times.sort()
print(f"p50 {times[len(times) // 2]:.2f} ms   p99 {times[int(len(times) * 0.99)]:.2f} ms")
