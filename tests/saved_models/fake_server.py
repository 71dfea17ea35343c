"""A server with the REST interface of TensorFlow Serving whose predictions tests determine."""

import base64
import contextlib
import http.server
import io
import json
import threading

from PIL import Image

SIGNATURE = {"inputs": {"image_bytes": {}}, "outputs": {"mask_png_bytes": {}, "status": {}}}


def png():
    file = io.BytesIO()
    Image.new("L", (3, 2)).save(file, "PNG")
    return file.getvalue()


def prediction(**outputs):
    """Returns the body of a response with a valid prediction, of which some outputs differ."""
    mask = {"b64": base64.b64encode(png()).decode()}
    return json.dumps({"predictions": [{"status": "ok", "mask_png_bytes": mask, **outputs}]})


@contextlib.contextmanager
def fake_server(respond, port=0):
    """Context manager of a server, which yields its address.

    Args:
        respond: a function from the bytes of an image to an HTTP status and a body. It is called
            for each request of a prediction.
        port: the port.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status = {"model_version_status": [{"version": "3", "state": "AVAILABLE"}]}
            metadata = {
                "metadata": {"signature_def": {"signature_def": {"serving_default": SIGNATURE}}}
            }
            self.send(200, json.dumps(metadata if self.path.endswith("/metadata") else status))

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if request["signature_name"] == "metadata":
                self.send(200, json.dumps({"outputs": {"class_names": [["a", "b"]]}}))
            else:
                [row] = request["instances"]
                self.send(*respond(base64.b64decode(row["image_bytes"]["b64"])))

        def send(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("localhost", port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
