"""Load test of an export: concurrent clients and the tests' stand-in for TensorFlow Serving.

    python -m benchmarks.load saved_models/NAME [--seconds 120] [--clients 4]

Sends images of many sizes and formats, and some invalid ones, over gRPC. Prints failures, latency
percentiles, and the memory of the server every 30 seconds, which should be constant after the first
minute.
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

from saved_models.grpc_client import GrpcClient
from saved_models.server import ServerError

SIZES = ((64, 64), (213, 320), (360, 480), (512, 512), (600, 400), (1, 300), (1080, 1920))
FORMATS = ("JPEG", "PNG", "BMP")
# Added to every tenth request; the server must reject it.
INVALID = b"no image"
MAX_IMAGES = 2  # valid images per request


def main(model: tyro.conf.Positional[Path], seconds: float = 120, clients: int = 4):
    """Tests the newest version of a model.

    Args:
        model: The folder of its versions.
        seconds: Duration.
        clients: Number of concurrent requests.
    """
    files = [encode(size, file_format) for size in SIZES for file_format in FORMATS]
    command = [sys.executable, "-m", "tests.saved_models.stand_in", str(model)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as server:
        address = f"localhost:{json.loads(server.stdout.readline())['grpc']}"
        start = time.perf_counter()
        threads = [Client(address, model.name, files, start + seconds, i) for i in range(clients)]
        for client in threads:
            client.start()
        memory = []
        while any(client.is_alive() for client in threads):
            memory.append((time.perf_counter() - start, resident_mebibytes(server.pid)))
            time.sleep(1)
        server.stdin.close()
    latencies = np.array([latency for client in threads for latency in client.latencies])
    failures = [failure for client in threads for failure in client.failures]
    print(f"{len(latencies)} requests in {seconds:.0f} s by {clients} clients, ", end="")
    print(f"{len(failures)} failures, {sum(client.rejected for client in threads)} images rejected")
    for failure in failures[:5]:
        print(f"  {failure}")
    for percentile in (50, 90, 99, 100):
        print(f"p{percentile}: {np.percentile(latencies, percentile):.3f} s")
    for second in range(0, int(seconds), 30):
        values = [m for t, m in memory if second <= t < second + 30]
        if values:
            print(f"{second:4} to {second + 30} s: {min(values):.0f} to {max(values):.0f} MiB")
    if failures:
        raise SystemExit(1)


class Client(threading.Thread):
    """Sends requests one after the other until `end`."""

    def __init__(self, address, model, files, end, seed):
        super().__init__(daemon=True)
        self.connection = GrpcClient(address, model, retry_seconds=0)
        self.files, self.end, self.rng = files, end, np.random.default_rng(seed)
        self.latencies, self.failures, self.rejected = [], [], 0

    def run(self):
        while time.perf_counter() < self.end:
            chosen = self.rng.integers(len(self.files), size=self.rng.integers(1, MAX_IMAGES + 1))
            request = [self.files[i] for i in chosen]
            if self.rng.random() < 0.1:
                request.append((INVALID, None))
            start = time.perf_counter()
            try:
                results = self.connection.predict([data for data, _ in request])
                for result, (_, size) in zip(results, request, strict=True):
                    self.check(result, size)
            except ServerError as error:
                self.failures.append(str(error))
            self.latencies.append(time.perf_counter() - start)

    def check(self, result, size):
        if size is None:
            self.rejected += result["status"] != "ok"
        elif result["status"] != "ok":
            self.failures.append(result["status"])
        elif Image.open(io.BytesIO(result["mask_png_bytes"])).size != size[::-1]:
            self.failures.append(f"the mask of an image of {size} has another size")


def encode(size, file_format):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3))
    image = Image.fromarray(pixels.astype("uint8")).resize(size[::-1])
    file = io.BytesIO()
    image.save(file, file_format)
    return file.getvalue(), size


def resident_mebibytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    tyro.cli(main)
