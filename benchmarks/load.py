"""Concurrent clients against an export behind the stand-in server of the tests.

    python -m benchmarks.load saved_models/NAME [--seconds 120] [--clients 4]

Images of many sizes and formats, and some that must be refused, by gRPC. Prints failures, latency
percentiles, and the server's memory minute by minute: after the first it should be flat.
"""

import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from saved_models.grpc_client import GrpcClient, ServerError

SIZES = ((64, 64), (213, 320), (360, 480), (512, 512), (600, 400), (1, 300), (1080, 1920))
FORMATS = ("JPEG", "PNG", "BMP")
# Sent along in every tenth request.
REFUSED = b"no image"
MOST = 2  # sound images of a request


def main(model: tyro.conf.Positional[Path], seconds: float = 120, clients: int = 4):
    """Loads the newest version of a model.

    Args:
        model: the folder of its versions.
        seconds: how long.
        clients: requests at a time.
    """
    files = [encode(size, form) for size in SIZES for form in FORMATS]
    command = [sys.executable, "-m", "tests.saved_models.stand_in", str(model)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as server:
        address = f"localhost:{json.loads(server.stdout.readline())['grpc']}"
        began = time.perf_counter()
        work = [Client(address, model.name, files, began + seconds, i) for i in range(clients)]
        for client in work:
            client.start()
        memory = []
        while any(client.is_alive() for client in work):
            memory.append((time.perf_counter() - began, resident_mebibytes(server.pid)))
            time.sleep(1)
        server.stdin.close()
    latencies = np.array([latency for client in work for latency in client.latencies])
    failures = [failure for client in work for failure in client.failures]
    print(f"{len(latencies)} requests in {seconds:.0f} s by {clients} clients, ", end="")
    print(f"{len(failures)} failures, {sum(client.refused for client in work)} images refused")
    for failure in failures[:5]:
        print(f"  {failure}")
    for percentile in (50, 90, 99, 100):
        print(f"p{percentile}: {np.percentile(latencies, percentile):.3f} s")
    for start in range(0, int(seconds), 30):
        values = [m for t, m in memory if start <= t < start + 30]
        if values:
            print(
                f"{start:4} to {start + 30} s: {min(values):.0f} to {max(values):.0f} MiB resident"
            )
    if failures:
        raise SystemExit(1)


class Client(threading.Thread):
    """Sends one request after the other until its time is up."""

    def __init__(self, address, model, files, end, seed):
        super().__init__(daemon=True)
        self.connection = GrpcClient(address, model)
        self.files, self.end, self.draw = files, end, np.random.default_rng(seed)
        self.latencies, self.failures, self.refused = [], [], 0

    def run(self):
        while time.perf_counter() < self.end:
            picked = self.draw.integers(len(self.files), size=self.draw.integers(1, MOST + 1))
            request = [self.files[i] for i in picked]
            if self.draw.random() < 0.1:
                request.append((REFUSED, None))
            start = time.perf_counter()
            try:
                answers = self.connection.predict([data for data, _ in request])
                for answer, (_, size) in zip(answers, request, strict=True):
                    self.check(answer, size)
            except ServerError as error:
                self.failures.append(str(error))
            self.latencies.append(time.perf_counter() - start)

    def check(self, answer, size):
        if size is None:
            self.refused += answer["status"] != "ok"
        elif answer["status"] != "ok":
            self.failures.append(answer["status"])
        elif Image.open(io.BytesIO(answer["mask_png_bytes"])).size != size[::-1]:
            self.failures.append(f"the mask of an image of {size} has another size")


def encode(size, form):
    pixels = np.random.default_rng(0).integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    image = Image.fromarray(pixels.astype("uint8")).resize(size[::-1])
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue(), size


def resident_mebibytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    tyro.cli(main)
